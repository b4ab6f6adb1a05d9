"""Resources that are scaled by the queue alone, and what their metrics server and their autoscalers say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from e2e import resources, stack
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.demo import __main__ as demo
from e2e.demo.watch import condition
from e2e.drills.client import Shape
from e2e.drills.target import available
from e2e.drills.timeline import is_ready
from e2e.drills.traffic import Traffic

NAME, ZONES = "queued", ("zone-b", "zone-c")
HOST = f"{NAME}.test"
TARGET, MOST = 4, 3
BUSY = Shape(per_second=16, tokens=30)
"""Each takes 3 s, so 48 run at a time, half of them in each zone: more than the most groups take at the target."""
PERIOD_SECONDS = 15
"""Of kube-controller-manager, between two looks at an autoscaler."""
ACTIVE_SECONDS = 150
"""Until an autoscaler reads the metric of a new resource: registration, availability, and a look at it."""
API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io"
METRICS_SERVER = f"{stack.NAMESPACE}/trireme-metrics-api"

_METRICS = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/pods/%2A/inference_queue_length"
_SETS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/{}/leaderworkersets/" + NAME + "-{}"


def at_once(most: int) -> Obj:
    """Of an autoscaler's behaviour: all groups in one period."""
    return {"policies": [{"type": "Groups", "value": most, "periodSeconds": PERIOD_SECONDS}]}


def scaled(*, down_at_once: bool = False, replicas: int = 1, name: str = NAME, most: int = MOST, **spec: Any) -> Obj:
    """Two zones whose groups are one pod each; a token takes the double 0.1 s. Groups are added at once."""
    slow = [{"name": "engine", "env": [{"name": "DOUBLE_STEP_SECONDS", "value": "0.1"}]}]
    down = {"scaleDown": {"stabilizationWindowSeconds": 0, **at_once(most)}} if down_at_once else {}
    resource = resources.double(
        name,
        pipeline=1,
        engine={"image": resources.DOUBLE_IMAGE, "config": {"maxNumSeqs": 256}},
        podTemplate={"spec": {"containers": slow}},
        autoscaling={
            "maxReplicas": most,
            "metrics": {"queueLength": TARGET},
            "behavior": {"scaleUp": at_once(most)} | down,
        },
        **spec,
    )
    resource["spec"]["zones"] = [{"name": zone, "replicas": replicas} for zone in ZONES]
    return resource


def groups(kube: Api, namespace: str) -> list[int]:
    """Groups that each zone asks for."""
    return [int(kube.get(_SETS.format(namespace, zone))["spec"]["replicas"]) for zone in ZONES]


def metric_values(kube: Api, namespace: str) -> list[Obj]:
    """What our metrics server tells of the leaders now, asked as an autoscaler asks."""
    found = kube.find(_METRICS.format(namespace))
    return list((found or {}).get("items", []))


def queue(kube: Api, namespace: str) -> list[int]:
    """Of each leader."""
    return [int(item["value"]) for item in metric_values(kube, namespace)]


def gateway(cluster: Cluster, kube: Api, namespace: str) -> str:
    """The address of a Gateway in the namespace, whose proxy is ready."""
    manifest = (demo.MANIFESTS / "gateway.yaml").read_text()
    cluster.kubectl("apply", "--server-side", "--namespace", namespace, "-f", "-", input=manifest)
    address = demo.gateway_service(kube, namespace)["spec"]["clusterIP"]
    wait_until(
        lambda: available(kube, "envoy-gateway-system"), timeout_seconds=90, what="the gateway's proxy to be ready"
    )
    return f"http://{address}"


def routed(host: str) -> Obj:
    """Of a spec: behind that Gateway."""
    return {"parentRefs": [{"name": demo.GATEWAY}], "hostnames": [host]}


@contextmanager
def serving(cluster: Cluster, kube: Api, namespace: str, resource: Obj, *, seconds: float = 150) -> Iterator[None]:
    """It serves, and its autoscalers read the metric; the registration goes with the resource."""
    name = resource["metadata"]["name"]
    resources.apply(cluster, namespace, resource)
    try:
        resources.wait_for(kube, namespace, name, "Ready", seconds=seconds)
        said = resources.wait_for(kube, namespace, name, "AutoscalingActive", seconds=ACTIVE_SECONDS)
        assert f"served by {METRICS_SERVER}" in condition(said, "AutoscalingActive")["message"]
        yield
    finally:
        kube.delete(resources.path(namespace, name))
    wait_until(lambda: kube.find(API_SERVICE) is None, timeout_seconds=60, what="the registration to be taken away")


def await_groups(kube: Api, namespace: str, wanted: Sequence[int], *, seconds: float) -> None:
    """Until so many are asked for in each zone, and serve. The error shows what there was instead."""
    seen: tuple[list[int], int] = ([], 0)

    def there() -> bool:
        nonlocal seen
        ready = sum(map(is_ready, resources.pods(kube, namespace, NAME)))
        seen = groups(kube, namespace), ready
        return seen == (list(wanted), sum(wanted))

    try:
        wait_until(there, timeout_seconds=seconds, what=f"{wanted} groups", interval_seconds=0.5)
    except TimeoutError as error:
        said = condition(kube.get(resources.path(namespace, NAME)), "AutoscalingActive")
        registered = (kube.find(API_SERVICE) or {}).get("status")
        asked, ready = seen
        raise AssertionError(
            f"{error}: {asked} are asked for, {ready} are ready; {said}; registration: {registered}"
        ) from error


def faults(traffic: Traffic) -> list[str]:
    """How requests failed, each way once with its count."""
    found = Counter(request.fault for request in traffic.requests if request.fault)
    return [f"{count} times: {fault}" for fault, count in found.items()]
