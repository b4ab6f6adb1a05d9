"""From the stored inputs of a revision back to the spec that asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

Obj = dict[str, Any]

SECTIONS: Final = (
    "model",
    "engine",
    "parallelism",
    "accelerator",
    "resources",
    "network",
    "scheduling",
    "health",
    "preflight",
    "podTemplate",
)
"""Fields of the spec that hold inputs of the template; no other one does."""

NO_INPUTS: Final = {"model": ("config",), "accelerator": ("memory",)}
"""What stands in a section and reaches no pod."""


@dataclass(frozen=True)
class Difference:
    """One value that two trees don't share; `None` where it is absent."""

    path: str
    before: Any
    after: Any


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Where two trees of plain values differ, deepest paths; lists of another length differ as a whole."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key), after.get(key), below)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif before != after:
        yield Difference(path, before, after)


def restored_spec(spec: Mapping[str, Any], inputs: Mapping[str, Any], *, name: str, now: Obj | None) -> Obj:
    """The spec of the resource ``name`` with the inputs of a revision in place of its own.

    ``now`` are the inputs of the spec as it is: only what differs is written, so that the spelling of everything else
    stays. None for a spec that is refused, whose inputs can't be told: then all that could be one is replaced.
    Whether the result really has these inputs is for the caller to check: a revision of another version of Trireme may
    hold some that this one can't put into a spec.
    """
    wanted = _sections(inputs, name)
    result = deepcopy(dict(spec))
    if now is None:
        for section in SECTIONS:
            before = result.pop(section, None) or {}
            kept = {field: before[field] for field in NO_INPUTS.get(section, ()) if field in before}
            if section in wanted or kept:
                result[section] = kept | wanted.get(section, {})
    else:
        result = _carried(result, _sections(now, name), wanted)
    _place_ranks(result, int(inputs["parallelism"]["perPod"]))
    return result


def _sections(inputs: Mapping[str, Any], name: str) -> Obj:
    """The inputs in the shape of a spec, but for ``accelerator.perPod``, whose default depends on other fields."""
    found = deepcopy(dict(inputs))
    found["parallelism"].pop("perPod")
    found["accelerator"] = {"resource": found["accelerator"]}
    if found["model"].get("servedName") == name:
        del found["model"]["servedName"]  # the default
    return found


def _carried(live: Any, before: Any, after: Any) -> Any:
    """`live`, changed by what changes from `before` to `after`."""
    if before == after:
        return live
    if not isinstance(before, dict) or not isinstance(after, dict) or not isinstance(live, dict):
        return after
    result = dict(live)
    for key in before.keys() - after.keys():
        result.pop(key, None)
    for key, value in after.items():
        if key not in before:
            result[key] = value
        elif before[key] != value:
            result[key] = _carried(live.get(key), before[key], value)
    return result


def _place_ranks(spec: Obj, per_pod: int) -> None:
    accelerator = spec.get("accelerator") or {}
    tensor = (spec.get("parallelism") or {}).get("tensor", 1)
    if (accelerator.get("perPod") or tensor) != per_pod:
        spec["accelerator"] = {**accelerator, "perPod": per_pod}
