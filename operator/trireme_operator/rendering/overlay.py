"""Laying ``spec.podTemplate`` over rendered pods, as a strategic merge patch would.

What may be in it was checked before (``api.pod_overlay``). The merge keys are those of the API types' patch tags
(k8s.io/api v0.36.3, core/v1/types.go), but for tolerations: theirs is a list without a key, and replacing ours would
take away the 30 seconds after which a lost node is given up; so they are added, in place of one for the same taint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from trireme_operator.api.quantity import canonical

_MERGE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "protocol"),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "tolerations": ("key", "effect"),
}
_DEFAULTS: Final = {"protocol": "TCP"}
# Go drops these when they are empty, so they would come back as a difference for ever.
_DROPPED_WHEN_FALSE: Final = frozenset({"readOnly", "stdin", "stdinOnce", "tty"})


def overlay(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``extra`` laid over ``base``; both stay as they are. Quantities of the result are spelled canonically."""
    merged = _object(base, _clean(extra))
    _each_quantity(merged["spec"], canonical)
    return merged


def _object(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    result = {key: _copy(value) for key, value in base.items()}
    for key, value in extra.items():
        result[key] = _value(key, result.get(key), value)
    return result


def _value(field: str, base: Any, extra: Any) -> Any:
    if isinstance(base, dict) and isinstance(extra, dict):
        return _object(base, extra)
    keys = _MERGE_KEYS.get(field)
    if keys is not None and isinstance(extra, list):
        return _keyed_list(field, base or [], extra, keys)
    return _copy(extra)


def _keyed_list(field: str, base: list[Any], extra: list[Any], keys: tuple[str, ...]) -> list[Any]:
    """Items of the base in their order, merged; new items behind them."""
    result = {_key(item, keys): _copy(item) for item in base}
    for item in extra:
        key = _key(item, keys)
        # A variable is replaced as a whole: merged, it could end up with a value and a reference to one.
        result[key] = _copy(item) if field == "env" else _object(result.get(key, {}), item)
    return list(result.values())


def _key(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(repr(item.get(key, _DEFAULTS.get(key))) for key in keys)  # what can't be a key must not end us


def _clean(value: Any, field: str = "") -> Any:
    """The value as it comes back from the API server: without nulls, empty texts and empty lists."""
    if isinstance(value, dict):
        cleaned = {key: _clean(item, key) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if not _is_nothing(key, item)}
    if isinstance(value, list):
        cleaned_list = [_clean(item) for item in value]
        return [{"protocol": "TCP", **item} for item in cleaned_list] if field == "ports" else cleaned_list
    return value


def _is_nothing(field: str, value: Any) -> bool:
    return value is None or value in ("", []) or (value is False and field in _DROPPED_WHEN_FALSE)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _each_quantity(spec: dict[str, Any], spell: Callable[[int | str], str]) -> None:
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        resources = container.get("resources", {})
        for kind in ("requests", "limits"):
            if kind in resources:
                resources[kind] = {name: spell(amount) for name, amount in resources[kind].items()}
    for volume in spec.get("volumes", ()):
        directory = volume.get("emptyDir", {})
        if "sizeLimit" in directory:
            directory["sizeLimit"] = spell(directory["sizeLimit"])
