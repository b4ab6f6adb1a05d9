"""The state of the nodes, as the API server tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from e2e.cluster.provider import ZONES, NodeStatus


def parse(output: str, names: Mapping[str, str] | None = None) -> tuple[NodeStatus, ...]:
    """The workers in a NodeList as JSON.

    ``names`` translates names of Kubernetes into those of ZONES; other nodes (a control plane's) are left out.
    """
    found = []
    for item in json.loads(output)["items"]:
        name = str(item["metadata"]["name"])
        name = (names or {}).get(name, name)
        if name not in ZONES:
            continue
        zone = item["metadata"].get("labels", {}).get("topology.kubernetes.io/zone", "")
        found.append(NodeStatus(name, zone, _ready(item) is not None))
    return tuple(sorted(found, key=lambda node: node.name))


def heartbeats(output: str) -> dict[str, str]:
    """When each Ready node last said so, by its name in Kubernetes, from a NodeList as JSON."""
    ready = {item["metadata"]["name"]: _ready(item) for item in json.loads(output)["items"]}
    return {name: condition["lastHeartbeatTime"] for name, condition in ready.items() if condition is not None}


def _ready(node: Mapping[str, Any]) -> Mapping[str, str] | None:
    """The condition Ready of a node, if it is true."""
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            return dict(condition)
    return None
