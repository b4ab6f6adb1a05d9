"""The state of the nodes, as the API server tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from e2e.cluster.provider import ZONES, NodeStatus


def parse(output: str, names: Mapping[str, str] | None = None) -> tuple[NodeStatus, ...]:
    """The workers in what ``kubectl get nodes -o json`` prints.

    ``names`` translates names of Kubernetes into those of ZONES; other nodes (a control plane's) are left out.
    """
    found = []
    for item in json.loads(output)["items"]:
        name = str(item["metadata"]["name"])
        name = (names or {}).get(name, name)
        if name not in ZONES:
            continue
        zone = item["metadata"].get("labels", {}).get("topology.kubernetes.io/zone", "")
        conditions = item.get("status", {}).get("conditions", [])
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        found.append(NodeStatus(name, zone, ready))
    return tuple(sorted(found, key=lambda node: node.name))
