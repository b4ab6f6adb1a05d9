"""The rules of ``spec.networkPolicy``, each broken once in either list of peers."""

from typing import Any

_BAD_PEERS: list[tuple[str, Any]] = [
    ("", {}),
    ("", {"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
    *(
        (f".{selector}.matchExpressions[]", {selector: {"matchExpressions": [requirement]}})
        for selector in ("podSelector", "namespaceSelector")
        for requirement in ({"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["b"]})
    ),
]
BROKEN: list[tuple[str, dict[str, Any]]] = [
    (f"spec.networkPolicy.{name}[]{below}", {"networkPolicy": {"from": [{"podSelector": {}}]} | {name: [peer]}})
    for name in ("from", "monitoring")
    for below, peer in _BAD_PEERS
]
