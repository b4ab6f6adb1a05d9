"""Does a live object still say everything that was rendered?

Defaults of the API server and fields of other managers may be there besides; what we rendered must stand. Lists that
server-side apply merges by key are compared by that key (the tables of the API types, `x-kubernetes-list-map-keys`);
every other list is one value, where an added item is as much a change as a missing one. So is a selector: one more key
and it selects nothing.
"""

from collections.abc import Mapping
from typing import Any

_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "ownerReferences": ("uid",),
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "port", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "hostAliases": ("ip",),
    "resourceClaims": ("name",),
    "claims": ("name",),
    "schedulingGates": ("name",),
    "set": ("name",),
    "add": ("name",),
    "conditions": ("type",),
}

_WHOLE = frozenset({"selector", "nodeSelector", "labelSelector", "podSelector", "namespaceSelector", "ingress"})
"""Fields that are one value with all that is below them: what the API types mark x-kubernetes-map-type: atomic
(k8s.io/api v0.36.3, core/v1 and networking/v1), and the rules of a NetworkPolicy, an atomic list in which one more port
or peer lets somebody in."""

_EMPTY_IS_ALL = frozenset({"podSelector", "namespaceSelector"})
"""Selectors of a NetworkPolicy's peer: an empty one is every pod or namespace, and is stored."""


def first_difference(live: Any, rendered: Any, path: str = "") -> str | None:
    """The path of the first rendered value that does not stand in `live`, or None when all do.

    Both are plain JSON: dicts, lists and scalars.
    """
    if live == rendered:
        return None  # most of a child is equal, and saying so as a whole is ten times as fast
    if isinstance(rendered, dict):
        if not isinstance(live, dict):
            return path or "(object)"
        return _in_map(live, rendered, path)
    if isinstance(rendered, list):
        return _in_atomic_list(live, rendered, path)
    return path


def _in_map(live: dict[str, Any], rendered: dict[str, Any], path: str) -> str | None:
    for key, value in rendered.items():
        below = f"{path}.{key}" if path else str(key)
        if key not in live:
            if value in ({}, [], None) and key not in _EMPTY_IS_ALL:
                continue  # the API server drops what is empty
            return below
        difference = _in_field(key, live[key], value, below)
        if difference is not None:
            return difference
    return None


def _in_field(field: str, live: Any, rendered: Any, path: str) -> str | None:
    if field in _WHOLE and isinstance(rendered, dict | list):
        changed = first_difference(live, rendered, path)
        return changed if changed is not None else first_difference(rendered, live, path)
    keys = _MERGE_KEYS.get(field)
    if keys is None or not isinstance(rendered, list) or not isinstance(live, list):
        return first_difference(live, rendered, path)
    by_key = {_merge_key(item, keys): item for item in live}
    for item in rendered:
        key = _merge_key(item, keys)
        below = f"{path}[{','.join(str(part) for part in key if part is not None)}]"
        if key not in by_key:
            return below
        difference = first_difference(by_key[key], item, below)
        if difference is not None:
            return difference
    return None


def _in_atomic_list(live: Any, rendered: list[Any], path: str) -> str | None:
    if not isinstance(live, list) or len(live) != len(rendered):
        return path
    for index, (live_item, item) in enumerate(zip(live, rendered, strict=True)):
        difference = first_difference(live_item, item, f"{path}[{index}]")
        if difference is not None:
            return difference
    return None


def _merge_key(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    if not isinstance(item, dict):
        return (item,)
    # The API server defaults a port's protocol to TCP, also where we leave it out.
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)
