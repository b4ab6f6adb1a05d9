"""The JSON that the API group speaks (k8s.io/metrics, pkg/apis/custom_metrics/v1beta2)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from trireme_operator.metricsapi.leaders import Leader
from trireme_operator.planning import QUEUE_LENGTH
from trireme_operator.rendering.api_service import METRICS_GROUP, METRICS_VERSION

_GROUP_VERSION: Final = f"{METRICS_GROUP}/{METRICS_VERSION}"
RESOURCES: Final[dict[str, Any]] = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": _GROUP_VERSION,
    "resources": [
        {
            "name": f"pods/{QUEUE_LENGTH}",
            "singularName": "",
            "namespaced": True,
            "kind": "MetricValueList",
            "verbs": ["get"],
        }
    ],
}
"""What discovery is told. There is nothing that can be deleted, so the end of a namespace asks for nothing here."""


def values(leaders: Iterable[tuple[Leader, datetime]]) -> dict[str, Any]:
    """A MetricValueList: each leader with the moment (UTC) at which its queue was read."""
    items = [
        {
            "describedObject": {"kind": "Pod", "namespace": leader.namespace, "name": leader.name, "apiVersion": "v1"},
            "metric": {"name": QUEUE_LENGTH, "selector": None},
            "timestamp": f"{read:%Y-%m-%dT%H:%M:%SZ}",
            "value": str(leader.value),
        }
        for leader, read in leaders
    ]
    return {"kind": "MetricValueList", "apiVersion": _GROUP_VERSION, "metadata": {}, "items": items}


def failure(status: int, reason: str, message: str) -> dict[str, Any]:
    """A Status, as the API server itself answers."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }
