"""The three regimes of the number of groups, on an in-memory API: what is written, in which order, and what is said."""

from typing import Any

import pytest

from tests.unit.reconcile_world import World
from trireme_operator.kube import (
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    LEADER_WORKER_SET,
    Conflict,
    Forbidden,
    Kind,
    Obj,
    ServerError,
)

SCALING: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 6, "metrics": {"cpu": 70}}
REQUESTS: dict[str, Any] = {"requests": {"cpu": "1"}}
ZONES = [{"name": "zone-a", "weight": 60}, {"name": "zone-b", "weight": 40, "replicas": 2}]


def scaled(**spec: Any) -> World:
    return World(**{"zones": [dict(zone) for zone in ZONES], "autoscaling": SCALING, "resources": REQUESTS, **spec})


def sets(world: World, zone: str) -> Obj:
    return world.kube.one(LEADER_WORKER_SET, f"llm-{zone}")


def autoscaler(world: World, zone: str) -> Obj:
    return world.kube.one(HORIZONTAL_POD_AUTOSCALER, f"llm-{zone}")


def scale(world: World, zone: str, replicas: int) -> None:
    """The autoscaler writes a number."""
    live = sets(world, zone)
    live["spec"]["replicas"] = replicas
    live["metadata"]["generation"] += 1
    live["metadata"]["resourceVersion"] += "0"
    autoscaler(world, zone)["status"] = {"currentReplicas": replicas, "desiredReplicas": replicas}


def conditions(**of: tuple[str, str]) -> list[Obj]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": "said so"}
        for kind, (status, reason) in of.items()
    ]


WORKING = conditions(
    AbleToScale=("True", "ReadyForNewScale"),
    ScalingActive=("True", "ValidMetricFound"),
    ScalingLimited=("False", "DesiredWithinRange"),
)


async def test_an_autoscaled_zone_starts_with_its_number_and_then_gets_its_autoscaler() -> None:
    world = scaled()
    writes = await world.writes()
    zone_b = [kind for _, kind, name in writes if name == "llm-zone-b" and kind != "PodDisruptionBudget"]
    assert zone_b == ["LeaderWorkerSet", "LeaderWorkerSet", "HorizontalPodAutoscaler"]
    assert sets(world, "zone-b")["spec"]["replicas"] == 2
    spec = autoscaler(world, "zone-b")["spec"]
    assert spec["scaleTargetRef"]["name"] == "llm-zone-b"
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 6)
    assert await world.writes() == []


async def test_the_autoscalers_number_is_left_alone_also_when_the_template_changes() -> None:
    world = scaled()
    await world.reconcile()
    scale(world, "zone-b", 5)
    assert await world.writes() == [("status", "InferenceCluster", "llm")]
    assert [zone["groups"] for zone in world.status["zones"]] == [1, 5]
    world.spec["engine"] = {"image": "vllm/vllm-openai:other"}
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 5


async def test_a_change_that_was_faster_is_no_error_and_is_looked_at_again() -> None:
    world = scaled()
    await world.reconcile()
    sets(world, "zone-b")["spec"]["replicas"] = 0
    world.kube.fail = lambda verb, kind, name: (
        Conflict("modified", status=409) if (verb, kind) == ("apply", LEADER_WORKER_SET) else None
    )
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 0
    assert world.condition("Accepted")["status"] == "True"
    world.kube.fail = lambda verb, kind, name: None
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 2


async def test_switching_autoscaling_off_removes_the_autoscaler_before_the_number_is_written() -> None:
    world = scaled()
    await world.reconcile()
    scale(world, "zone-b", 5)
    del world.spec["autoscaling"]
    world.kube.fail = lambda verb, kind, name: ServerError("boom", status=500) if verb == "delete" else None
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 5, "the autoscaler would write its own again"
    world.kube.fail = lambda verb, kind, name: None
    writes = await world.writes()
    assert writes.index(("delete", "HorizontalPodAutoscaler", "llm-zone-b")) < writes.index(
        ("apply", "LeaderWorkerSet", "llm-zone-b")
    )
    assert sets(world, "zone-b")["spec"]["replicas"] == 2
    assert not world.kube.names(HORIZONTAL_POD_AUTOSCALER)


async def test_a_disabled_zone_keeps_its_groups_until_the_gateway_has_moved_the_traffic() -> None:
    world = World()
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    await world.reconcile()
    world.spec["zones"][1]["state"] = "Disabled"
    await world.reconcile()
    route = world.kube.one(HTTP_ROUTE, "llm")
    route["metadata"]["generation"] += 1
    assert [ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]] == [60, 0]
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 2
    assert world.condition("Progressing")["reason"] == "Draining"
    assert "2 groups are ended when" in world.status["zones"][1]["message"]
    world.accept_route()
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 0
    assert world.status["zones"][1]["weightReason"] == "Disabled"
    world.observe_groups()
    await world.reconcile()
    assert world.condition("Ready")["status"] == "True"
    del world.spec["zones"][1]["state"]
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 2


async def test_a_disabled_zone_that_never_was_is_not_made_and_a_stripped_one_is_found() -> None:
    zones = [{"name": "zone-a"}, {"name": "zone-b", "state": "Disabled"}]
    world = World(zones=zones, gateway=None)
    await world.reconcile()
    assert world.kube.names(LEADER_WORKER_SET) == {"llm-zone-a"}
    del world.spec["zones"][1]["state"]
    await world.reconcile()
    sets(world, "zone-b")["metadata"]["labels"].clear()
    world.spec["zones"][1]["state"] = "Disabled"
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 0


async def test_a_disabled_zone_that_can_not_be_read_is_an_error_and_not_absent() -> None:
    world = World(zones=[{"name": "zone-a"}, {"name": "zone-b", "state": "Disabled"}], gateway=None)
    world.kube.fail = lambda verb, kind, name: (
        ServerError("boom", status=500) if (verb, name) == ("get", "llm-zone-b") else None
    )
    with pytest.raises(ExceptionGroup):
        await world.reconcile()


async def test_a_disabled_zone_has_no_autoscaler_and_comes_back_with_one() -> None:
    world = scaled(gateway=None)
    await world.reconcile()
    scale(world, "zone-b", 5)
    world.spec["zones"][1]["state"] = "Disabled"
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 0
    assert world.kube.names(HORIZONTAL_POD_AUTOSCALER) == {"llm-zone-a"}
    world.spec["zones"][1]["state"] = "Active"
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 2
    assert world.kube.names(HORIZONTAL_POD_AUTOSCALER) == {"llm-zone-a", "llm-zone-b"}


@pytest.mark.parametrize(
    ("said", "want", "reason"),
    [
        pytest.param([], ("Unknown", "AutoscalerPending"), None, id="nothing yet"),
        pytest.param(WORKING, ("True", "AutoscalersActive"), "ValidMetricFound", id="at work"),
        pytest.param(
            conditions(
                AbleToScale=("True", "ReadyForNewScale"),
                ScalingActive=("True", "ValidMetricFound"),
                ScalingLimited=("True", "TooManyReplicas"),
            ),
            ("True", "AutoscalersActive"),
            "TooManyReplicas",
            id="at its most",
        ),
        pytest.param(
            conditions(
                AbleToScale=("True", "ReadyForNewScale"), ScalingActive=("False", "FailedGetContainerResourceMetric")
            ),
            ("False", "MetricsUnavailable"),
            "FailedGetContainerResourceMetric",
            id="no metrics",
        ),
        pytest.param(
            conditions(AbleToScale=("False", "FailedGetScale")),
            ("False", "AutoscalerBlocked"),
            "FailedGetScale",
            id="no way to scale",
        ),
        pytest.param([{"type": "Other", "status": "True"}], ("True", "AutoscalersActive"), "Unknown", id="other words"),
    ],
)
async def test_the_condition_says_what_the_first_autoscaler_that_does_not_work_says(
    said: list[Obj], want: tuple[str, str], reason: str | None
) -> None:
    world = scaled()
    await world.reconcile()
    for zone in ("zone-a", "zone-b"):
        found = said if zone == "zone-b" else WORKING
        autoscaler(world, zone)["status"] = {"currentReplicas": 2, "desiredReplicas": 3, "conditions": found}
    await world.reconcile()
    condition = world.condition("AutoscalingActive")
    assert (condition["status"], condition["reason"]) == want
    assert condition["status"] == "True" or condition["message"].startswith("zone zone-b: ")
    zone = world.status["zones"][1]
    assert zone.get("autoscaling") == (reason and {"current": 2, "desired": 3, "reason": reason})


async def test_without_autoscaling_nothing_is_said_of_it() -> None:
    world = World()
    await world.reconcile()
    assert "AutoscalingActive" not in {item["type"] for item in world.status["conditions"]}
    assert all("autoscaling" not in zone for zone in world.status["zones"])


async def test_an_autoscaler_that_can_not_be_made_and_zones_that_have_none_are_told() -> None:
    world = scaled()
    world.kube.fail = lambda verb, kind, name: (
        ServerError("boom", status=500) if kind == HORIZONTAL_POD_AUTOSCALER and verb == "apply" else None
    )
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    failed = world.condition("AutoscalingActive")
    assert (failed["status"], failed["reason"]) == ("False", "ApplyFailed")
    assert "HorizontalPodAutoscaler llm-zone-a: boom" in failed["message"]
    world.kube.fail = lambda verb, kind, name: None
    for zone in world.spec["zones"]:
        zone["state"] = "Disabled"
    await world.reconcile()
    assert world.condition("AutoscalingActive")["reason"] == "ScaledToZero"
    assert world.condition("Available")["reason"] == "ScaledToZero"


async def test_a_pool_is_autoscaled_as_a_zone_is() -> None:
    world = scaled(zones=None, replicas=3)
    await world.reconcile()
    assert world.kube.one(LEADER_WORKER_SET, "llm")["spec"]["replicas"] == 3
    assert world.kube.one(HORIZONTAL_POD_AUTOSCALER, "llm")["spec"]["scaleTargetRef"]["name"] == "llm"
    assert world.condition("AutoscalingActive")["message"].startswith("nothing has looked at")


async def test_devices_and_groups_are_counted_as_the_autoscaler_asks() -> None:
    world = scaled(accelerator={"resource": "nvidia.com/gpu"}, parallelism={"tensor": 2})
    await world.reconcile()
    scale(world, "zone-b", 4)
    await world.reconcile()
    assert world.status["plan"]["totalGpus"] == 2 * (1 + 4)
    assert world.status["replicas"] == 5


def refusing(world: World, kind: Kind, *verbs: str) -> None:
    """The operator has lost these rights on a kind."""
    world.kube.fail = lambda verb, asked, name: (
        Forbidden(f"may not {verb}", status=403) if asked == kind and verb in verbs else None
    )


async def test_where_autoscalers_may_not_be_read_no_number_of_theirs_is_overwritten() -> None:
    world = scaled()
    await world.reconcile()
    scale(world, "zone-b", 1)
    refusing(world, HORIZONTAL_POD_AUTOSCALER, "list", "get", "apply")
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 1
    assert "may not list" in world.condition("Accepted")["message"]


async def test_a_fixed_zone_needs_no_right_on_autoscalers() -> None:
    world = World()
    refusing(world, HORIZONTAL_POD_AUTOSCALER, "list", "get", "apply")
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 2
    assert world.condition("Accepted")["status"] == "True"


async def test_a_disabled_zone_keeps_its_groups_where_the_route_may_not_be_read() -> None:
    world = World()
    await world.reconcile()
    world.spec["zones"][1]["state"] = "Disabled"
    refusing(world, HTTP_ROUTE, "list")
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 2


async def test_a_set_that_is_being_deleted_is_given_no_number() -> None:
    world = scaled()
    await world.reconcile()
    sets(world, "zone-b")["spec"]["replicas"] = 0
    sets(world, "zone-b")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await world.reconcile()
    assert sets(world, "zone-b")["spec"]["replicas"] == 0
