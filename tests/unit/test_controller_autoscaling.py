"""What is said of autoscalers: values, what can't be read and why, decisions, and KEDA in the place of our own."""

from typing import Any

import pytest

from tests.unit.reconcile_world import World
from trireme_operator.api.autoscaling import MetricsSource
from trireme_operator.controller.metric_advice import Unread, way_out
from trireme_operator.controller.metric_apis import CUSTOM, EXTERNAL, RESOURCE, MetricApi, MetricApiReader, metric_apis
from trireme_operator.kube import (
    API_SERVICE,
    HORIZONTAL_POD_AUTOSCALER,
    LEADER_WORKER_SET,
    SCALED_OBJECT,
    Forbidden,
    Obj,
    ServerError,
)

ZONES = [{"name": "zone-a", "weight": 60}, {"name": "zone-b", "weight": 40, "replicas": 2}]
REQUESTS = {"requests": {"cpu": "1"}}
KEDA = {"source": "KEDA", "keda": {"serverAddress": "http://prometheus:9090"}}


def scaled(**scaling: Any) -> World:
    found = {"maxReplicas": 6, **scaling}
    world = World(zones=[dict(zone) for zone in ZONES], autoscaling=found, resources=REQUESTS, gateway=None)
    world.kube.unserved.add(SCALED_OBJECT)
    return world


def says(
    world: World, name: str, *, queue: str | None = "3500m", numbers: tuple[int, int] = (2, 2), **more: Any
) -> None:
    """The autoscaler has looked: `queue` is what it read, None for nothing."""
    live = world.kube.one(HORIZONTAL_POD_AUTOSCALER, name)
    unread = {"type": ""}
    read: list[Obj] = []
    for spec in live["spec"]["metrics"]:
        if spec["type"] != "Pods":
            read.append({"type": spec["type"]})
        elif queue is None:
            read.append(unread)
        else:
            identity = {"metric": spec["pods"]["metric"], "current": {"averageValue": queue}}
            read.append({"type": "Pods", "pods": identity})
    active = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": "from pods metric"}
    if all(item == unread for item in read):
        active |= {"status": "False", "reason": "FailedGetPodsMetric", "message": "unable to get metric"}
    able = {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"}
    limited = {"type": "ScalingLimited", "status": "False", "reason": "DesiredWithinRange"}
    live["status"] = {
        "currentReplicas": numbers[0],
        "desiredReplicas": numbers[1],
        "currentMetrics": read,
        "conditions": [able, active, limited],
        **more,
    }


def api_service(group: str, *, version: str = "v1beta2", ours: bool = False, available: str = "True") -> Obj:
    labels = {"app.kubernetes.io/managed-by": "trireme" if ours else "Helm"}
    service = {"namespace": "trireme-system" if ours else "monitoring", "name": "metrics" if ours else "adapter"}
    told = {"type": "Available", "status": available, "reason": "MissingEndpoints", "message": "no endpoints"}
    return {
        "metadata": {"name": f"{version}.{group}", "namespace": "", "labels": labels},
        "spec": {"group": group, "version": version, "service": service, "versionPriority": 100},
        "status": {"conditions": [told]},
    }


async def test_values_stand_in_status_and_condition_with_who_serves_them() -> None:
    world = scaled(metrics={"queueLength": 10, "cpu": 70})
    world.kube.add(API_SERVICE, api_service(CUSTOM, ours=True))
    world.kube.add(API_SERVICE, api_service(RESOURCE))
    await world.reconcile()
    at_most = [{"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas"}]
    says(world, "llm-zone-a", queue="0", numbers=(1, 1))
    says(world, "llm-zone-b", numbers=(6, 6))
    world.kube.one(HORIZONTAL_POD_AUTOSCALER, "llm-zone-b")["status"]["conditions"][2:] = at_most
    await world.reconcile()
    condition = world.condition("AutoscalingActive")
    assert (condition["status"], condition["reason"]) == ("True", "AutoscalersActive")
    assert condition["message"] == (
        "zone zone-a: 1 wanted, between 1 and 6, queue length 0 of 10; zone zone-b: 6 wanted, between 1 and 6, queue"
        " length 4 of 10, limited by maxReplicas; custom.metrics.k8s.io is served by trireme-system/metrics;"
        " metrics.k8s.io is served by monitoring/adapter"
    )
    assert world.status["zones"][1]["autoscaling"] == {
        "current": 6,
        "desired": 6,
        "reason": "TooManyReplicas",
        "queueLength": 4,
    }


async def test_bounds_that_leave_nothing_to_scale_are_told() -> None:
    world = scaled()
    world.spec["zones"][1] |= {"minReplicas": 3, "maxReplicas": 3, "replicas": 3}
    await world.reconcile()
    for name in ("llm-zone-a", "llm-zone-b"):
        says(world, name)
    await world.reconcile()
    message = world.condition("AutoscalingActive")["message"]
    assert "zone zone-b: always 3, which minReplicas and maxReplicas both are: raise maxReplicas" in message


async def test_a_queue_that_moves_a_little_is_not_written_each_time() -> None:
    world = scaled()
    await world.reconcile()
    told = []
    for queue in ("4", "5", "6", "7", "5500m", "0", "400m", "2"):
        says(world, "llm-zone-a", queue=queue)
        says(world, "llm-zone-b", queue="0")
        await world.reconcile()
        told.append(world.status["zones"][0]["autoscaling"]["queueLength"])
    assert told == [4, 4, 4, 7, 7, 0, 1, 1], "a fifth of the target of 10 is 2; the first request is told at once"
    assert await world.writes() == []


async def test_a_queue_that_nobody_can_read_is_told_with_the_way_out() -> None:
    world = scaled()
    await world.reconcile()
    for name in ("llm-zone-a", "llm-zone-b"):
        says(world, name, queue=None)
    await world.reconcile()
    condition = world.condition("AutoscalingActive")
    assert (condition["status"], condition["reason"]) == ("False", "MetricsUnavailable")
    assert condition["message"].startswith("zone zone-a: FailedGetPodsMetric: unable to get metric; nobody serves")
    assert condition["message"].endswith("until then the number stays")
    assert "queueLength" not in world.status["zones"][0]["autoscaling"]


async def test_one_metric_of_several_that_is_missing_blocks_the_way_down_and_is_told() -> None:
    world = scaled(metrics={"queueLength": 10, "cpu": 70})
    await world.reconcile()
    for name in ("llm-zone-a", "llm-zone-b"):
        says(world, name)
    live = world.kube.one(HORIZONTAL_POD_AUTOSCALER, "llm-zone-b")
    live["status"]["currentMetrics"][1] = {"type": ""}
    await world.reconcile()
    condition = world.condition("AutoscalingActive")
    assert (condition["status"], condition["reason"]) == ("False", "MetricsIncomplete")
    assert condition["message"] == (
        "zone zone-b: cpu can't be read, so groups are added by the other metrics and none is ended;"
        " nobody serves metrics.k8s.io: install metrics-server"
    )
    live["status"]["currentMetrics"].pop()
    await world.reconcile()
    assert world.condition("AutoscalingActive")["status"] == "True", "it has not looked at the new metrics yet"


async def test_a_target_without_groups_is_not_about_metrics() -> None:
    world = scaled()
    await world.reconcile()
    says(world, "llm-zone-a")
    disabled = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "ScalingDisabled",
        "message": "replica count is zero",
    }
    world.kube.one(HORIZONTAL_POD_AUTOSCALER, "llm-zone-a")["status"]["conditions"][1] = disabled
    await world.reconcile()
    assert world.condition("AutoscalingActive")["reason"] == "AutoscalerBlocked"


async def test_decisions_are_remembered_in_the_status_the_latest_first() -> None:
    world = scaled()
    await world.reconcile()
    says(world, "llm-zone-b", queue="35", numbers=(1, 4), lastScaleTime="2026-01-01T00:00:10Z")
    await world.reconcile()
    says(world, "llm-zone-b", queue="0", numbers=(4, 3), lastScaleTime="2026-01-01T00:20:00Z")
    await world.reconcile()
    told = world.status["zones"][1]["autoscaling"]
    assert told["lastScaled"] == "2026-01-01T00:20:00Z"
    assert told["decisions"] == [
        {"time": "2026-01-01T00:20:00Z", "before": 4, "after": 3, "queueLength": 0},
        {"time": "2026-01-01T00:00:10Z", "before": 1, "after": 4, "queueLength": 35},
    ]
    assert await world.writes() == []


async def test_a_queue_length_that_is_no_number_is_not_told() -> None:
    world = scaled()
    await world.reconcile()
    says(world, "llm-zone-a", queue="many")
    await world.reconcile()
    assert "queueLength" not in world.status["zones"][0]["autoscaling"]


async def test_the_reserve_for_the_loss_of_a_zone_stands_in_the_plan() -> None:
    world = scaled(surviveZoneLoss=True)
    await world.reconcile()
    assert world.status["plan"]["zoneLoss"] == {"zone": "zone-a", "left": 2, "needed": 2}
    hpa = world.kube.one(HORIZONTAL_POD_AUTOSCALER, "llm-zone-a")
    assert hpa["spec"]["metrics"][0]["pods"]["target"] == {"type": "AverageValue", "averageValue": "4"}


async def test_without_keda_a_new_resource_has_no_autoscaler_and_an_old_one_keeps_its_own() -> None:
    world = scaled(**KEDA)
    await world.reconcile()
    assert not world.kube.names(HORIZONTAL_POD_AUTOSCALER)
    condition = world.condition("AutoscalingActive")
    assert (condition["status"], condition["reason"]) == ("False", "KEDAMissing")
    assert "install KEDA, or set spec.autoscaling.source to Auto" in condition["message"]
    world.kube.unserved.clear()
    await world.reconcile()
    assert world.kube.names(SCALED_OBJECT) == {"llm-zone-a", "llm-zone-b"}, "it is picked up by itself"
    world = scaled()
    await world.reconcile()
    world.spec["autoscaling"] |= KEDA
    await world.reconcile()
    assert world.kube.names(HORIZONTAL_POD_AUTOSCALER) == {"llm-zone-a", "llm-zone-b"}
    assert world.condition("AutoscalingActive")["reason"] == "KEDAMissing"
    world.kube.unserved.clear()
    await world.reconcile()
    await world.reconcile()
    assert world.kube.names(SCALED_OBJECT) == {"llm-zone-a", "llm-zone-b"}
    assert not world.kube.names(HORIZONTAL_POD_AUTOSCALER)


def keda_makes(world: World, zone: str) -> None:
    """KEDA's own autoscaler: owned by the ScaledObject, with its labels (controllers/keda/hpa.go)."""
    owner = world.kube.one(SCALED_OBJECT, f"llm-{zone}")
    metadata = {
        "name": f"keda-hpa-llm-{zone}",
        "namespace": "genai",
        "labels": owner["metadata"]["labels"],
        "ownerReferences": [{"kind": "ScaledObject", "controller": True, "uid": owner["metadata"]["uid"]}],
    }
    external = {"type": "External", "external": {"metric": {"name": "s0-prometheus"}}}
    world.kube.add(HORIZONTAL_POD_AUTOSCALER, {"metadata": metadata, "spec": {"metrics": [external]}})
    says(world, f"keda-hpa-llm-{zone}", numbers=(4, 4))


async def test_keda_takes_over_and_gives_back_and_both_never_scale_one_set() -> None:
    world = scaled()
    world.kube.unserved.clear()
    await world.reconcile()
    for name in ("llm-zone-a", "llm-zone-b"):
        world.kube.one(LEADER_WORKER_SET, name)["spec"]["replicas"] = 4
        says(world, name, numbers=(4, 4))
    world.spec["autoscaling"] |= KEDA
    writes = await world.writes()
    assert ("delete", "HorizontalPodAutoscaler", "llm-zone-b") in writes
    assert not world.kube.names(SCALED_OBJECT), "only when the autoscalers are seen to be gone"
    await world.reconcile()
    assert world.kube.names(SCALED_OBJECT) == {"llm-zone-a", "llm-zone-b"}
    assert not world.kube.names(HORIZONTAL_POD_AUTOSCALER)
    assert world.condition("AutoscalingActive")["reason"] == "AutoscalerPending"
    for zone in ("zone-a", "zone-b"):
        keda_makes(world, zone)
    await world.reconcile()
    assert world.condition("AutoscalingActive")["status"] == "True"
    assert world.status["zones"][0]["autoscaling"]["desired"] == 4
    del world.spec["autoscaling"]["source"], world.spec["autoscaling"]["keda"]
    await world.reconcile()
    assert not world.kube.names(SCALED_OBJECT)
    await world.reconcile()
    assert world.kube.names(HORIZONTAL_POD_AUTOSCALER) == {"keda-hpa-llm-zone-a", "keda-hpa-llm-zone-b"}, (
        "KEDA's own are not ours to delete, and ours wait for their end"
    )
    world.kube.objects = {key: obj for key, obj in world.kube.objects.items() if not key[2].startswith("keda-hpa")}
    await world.reconcile()
    assert world.kube.names(HORIZONTAL_POD_AUTOSCALER) == {"llm-zone-a", "llm-zone-b"}
    assert [world.kube.one(LEADER_WORKER_SET, f"llm-zone-{zone}")["spec"]["replicas"] for zone in "ab"] == [4, 4]


async def test_a_fixed_number_waits_until_kedas_autoscaler_is_gone() -> None:
    world = scaled(**KEDA)
    world.kube.unserved.clear()
    await world.reconcile()
    keda_makes(world, "zone-b")
    world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["spec"]["replicas"] = 5
    del world.spec["autoscaling"]
    await world.reconcile()
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["spec"]["replicas"] == 5
    world.kube.objects = {key: obj for key, obj in world.kube.objects.items() if not key[2].startswith("keda-hpa")}
    await world.reconcile()
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["spec"]["replicas"] == 2


QUEUE = [Unread("inference_queue_length", CUSTOM)]
AUTO, BUILTIN, ADAPTER = MetricsSource.AUTO, MetricsSource.BUILTIN, MetricsSource.PROMETHEUS_ADAPTER
FOREIGN = {CUSTOM: MetricApi("monitoring/adapter")}


@pytest.mark.parametrize(
    ("unread", "source", "apis", "want"),
    [
        pytest.param(QUEUE, AUTO, {}, "check that Trireme's metrics server runs", id="nobody"),
        pytest.param(QUEUE, ADAPTER, {}, "install Prometheus Adapter with the rule of docs", id="no adapter"),
        pytest.param(
            QUEUE, AUTO, FOREIGN, "monitoring/adapter serves custom.metrics.k8s.io: give it the rule", id="other"
        ),
        pytest.param(QUEUE, BUILTIN, FOREIGN, "not taken over: set spec.autoscaling.source to", id="other than asked"),
        pytest.param(QUEUE, AUTO, {CUSTOM: MetricApi("t/m", ours=True)}, "heard nothing lately", id="ours, no leader"),
        pytest.param(
            QUEUE,
            AUTO,
            {CUSTOM: MetricApi("t/m", ours=True, problem="X: y")},
            "does not answer (X: y)",
            id="ours, down",
        ),
        pytest.param(QUEUE, AUTO, None, "check that Trireme's metrics server, or an adapter,", id="may not look"),
        pytest.param([Unread("cpu", RESOURCE)], AUTO, {}, "install metrics-server", id="no metrics-server"),
        pytest.param(
            [Unread("cpu", RESOURCE)], AUTO, {RESOURCE: MetricApi("k/m")}, "`kubectl top pod` knows", id="no request"
        ),
        pytest.param([Unread("x", EXTERNAL)], AUTO, {}, "install an adapter for it, or remove", id="no external"),
        pytest.param([Unread("x", EXTERNAL)], AUTO, {EXTERNAL: MetricApi("k/m")}, "knows the metric", id="external"),
        pytest.param([Unread("x", "")], AUTO, {}, "see the events", id="of a type that nobody knows"),
        pytest.param([], AUTO, {}, "see the events", id="of none"),
    ],
)
def test_the_way_out_depends_on_who_serves_what(
    unread: list[Unread], source: MetricsSource, apis: Any, want: str
) -> None:
    assert want in way_out(unread, source, apis)


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ({"type": "Pods", "pods": {"metric": {"name": "q"}}}, Unread("q", CUSTOM)),
        ({"type": "Object", "object": {"metric": {"name": "q"}}}, Unread("q", CUSTOM)),
        ({"type": "External", "external": {"metric": {"name": "q"}}}, Unread("q", EXTERNAL)),
        ({"type": "Resource", "resource": {"name": "cpu"}}, Unread("cpu", RESOURCE)),
        ({"type": "ContainerResource", "containerResource": {"name": "memory"}}, Unread("memory", RESOURCE)),
        ({"type": "New"}, Unread("New", "")),
    ],
)
def test_a_metric_is_known_by_its_name_and_its_api(spec: Obj, want: Unread) -> None:
    assert Unread.of(spec) == want


def test_the_autoscalers_ask_the_version_of_the_highest_priority() -> None:
    older = api_service(CUSTOM, version="v1beta1")
    found = metric_apis([api_service(CUSTOM, ours=True, available="False"), older, api_service("apps")])
    assert found == {CUSTOM: MetricApi("trireme-system/metrics", ours=True, problem="MissingEndpoints: no endpoints")}
    older["spec"]["versionPriority"] = 200
    assert not metric_apis([api_service(CUSTOM, ours=True), older])[CUSTOM].ours
    silent = api_service(CUSTOM) | {"status": {}}
    assert metric_apis([silent])[CUSTOM].problem == "Unknown: nobody has asked it yet"


@pytest.mark.parametrize("error", [Forbidden("may not", status=403), ServerError("boom", status=500)])
async def test_who_serves_metrics_is_asked_seldom_also_when_that_is_refused(error: Exception) -> None:
    world = scaled()
    calls = []

    def count(verb: str, kind: Any, name: str) -> Exception | None:
        if kind != API_SERVICE:
            return None
        calls.append(verb)
        return error

    world.kube.fail = count
    now = [0.0]
    reader = MetricApiReader(world.kube, clock=lambda: now[0])
    assert await reader.get() is None
    now[0] = 9.0
    assert await reader.get() is None
    assert calls == ["list"]
    now[0] = 20.0
    await reader.get()
    assert len(calls) == (1 if isinstance(error, Forbidden) else 2)
    now[0] = 400.0
    world.kube.fail = lambda verb, kind, name: None
    assert await reader.get() == {}
