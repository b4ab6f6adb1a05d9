"""A resource that is scaled by the queue alone, and what its metrics server and its autoscalers say."""

from __future__ import annotations

from typing import Any

from e2e import resources, stack
from e2e.api import Api, Obj

NAME, ZONES = "queued", ("zone-b", "zone-c")
TARGET, MOST = 4, 3
PERIOD_SECONDS = 15
"""Of kube-controller-manager, between two looks at an autoscaler."""
ACTIVE_SECONDS = 150
"""Until an autoscaler reads the metric of a new resource: registration, availability, and a look at it."""
API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io"
METRICS_SERVER = f"{stack.NAMESPACE}/trireme-metrics-api"

_METRICS = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/pods/%2A/inference_queue_length"
_SETS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/{}/leaderworkersets/" + NAME + "-{}"
_AT_ONCE: Obj = {"policies": [{"type": "Groups", "value": MOST, "periodSeconds": PERIOD_SECONDS}]}


def scaled(*, down_at_once: bool = False, replicas: int = 1, **spec: Any) -> Obj:
    """Two zones whose groups are one pod each; a token takes the double 0.1 s. Groups are added at once."""
    slow = [{"name": "engine", "env": [{"name": "DOUBLE_STEP_SECONDS", "value": "0.1"}]}]
    down = {"scaleDown": {"stabilizationWindowSeconds": 0, **_AT_ONCE}} if down_at_once else {}
    resource = resources.double(
        NAME,
        pipeline=1,
        engine={"image": resources.DOUBLE_IMAGE, "config": {"maxNumSeqs": 256}},
        podTemplate={"spec": {"containers": slow}},
        autoscaling={
            "maxReplicas": MOST,
            "metrics": {"queueLength": TARGET},
            "behavior": {"scaleUp": _AT_ONCE} | down,
        },
        **spec,
    )
    resource["spec"]["zones"] = [{"name": name, "replicas": replicas} for name in ZONES]
    return resource


def groups(kube: Api, namespace: str) -> list[int]:
    """Groups that each zone asks for."""
    return [int(kube.get(_SETS.format(namespace, zone))["spec"]["replicas"]) for zone in ZONES]


def queue(kube: Api, namespace: str) -> list[int]:
    """What our metrics server tells of each leader now, asked as an autoscaler asks."""
    found = kube.find(_METRICS.format(namespace))
    return [int(item["value"]) for item in (found or {}).get("items", [])]
