"""A reconcile that meets errors, refusals, missing APIs and wishes that are no longer the latest."""

import asyncio
import copy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.controller_samples import NAMESPACE
from tests.unit.reconcile_world import KEY, World
from tests.unit.stores import filled
from trireme_operator.controller.reconcile import UNSETTLED_SECONDS, Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.controller.store import Store
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    SERVICE,
    SERVICE_ACCOUNT,
    Forbidden,
    Invalid,
    Kind,
    NotFound,
    ServerError,
)

POD_FIELDS = ("name", "containers", "env", "volumes", "labels", "tolerations", "securityContext", "engine", "value")


async def test_an_error_in_one_zone_does_not_stop_the_other_and_its_status_stays_the_same(world: World) -> None:
    def fail(verb: str, kind: Kind, name: str) -> Exception | None:
        broken = (verb, kind, name) == ("apply", LEADER_WORKER_SET, "llm-zone-a")
        return ServerError("failed calling webhook: connection refused", status=500) if broken else None

    world.kube.fail = fail
    with pytest.raises(ExceptionGroup, match="some children"):
        await world.reconcile()
    assert world.kube.names(LEADER_WORKER_SET) == {"llm-zone-b"}
    progressing = world.condition("Progressing")
    assert progressing["reason"] == "ApplyFailed"
    assert "LeaderWorkerSet llm-zone-a: failed calling webhook" in progressing["message"]
    world.kube.writes.clear()
    world.now += timedelta(minutes=5)
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert world.kube.writes == []


async def test_replicas_that_can_not_be_applied_are_an_error_of_their_zone(world: World) -> None:
    await world.reconcile()
    world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["spec"]["replicas"] = 7
    world.kube.fail = lambda verb, kind, name: (
        ServerError("boom", status=500) if (verb, name) == ("apply", "llm-zone-b") else None
    )
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert world.condition("Progressing")["message"] == "LeaderWorkerSet llm-zone-b: boom"


async def test_a_child_that_can_not_be_deleted_is_an_error_and_one_that_is_gone_is_not(world: World) -> None:
    await world.reconcile()
    world.spec["zones"].pop()
    world.kube.fail = lambda verb, kind, name: (
        (NotFound("gone", status=404) if kind == SERVICE else Forbidden("no", status=403)) if verb == "delete" else None
    )
    with pytest.raises(ExceptionGroup) as raised:
        await world.reconcile()
    assert [str(error) for error in raised.value.exceptions] == ["no"]
    assert world.condition("Accepted")["message"] == "LeaderWorkerSet llm-zone-b: no"
    assert "llm-zone-b" in world.kube.names(POD_DISRUPTION_BUDGET), "groups that are still there stay protected"


async def test_a_failing_webhook_comes_with_the_way_out(world: World) -> None:
    text = 'failed calling webhook "mleaderworkerset.kb.io": connection refused'
    world.kube.fail = lambda verb, kind, name: (
        ServerError(text, status=500) if (verb, kind) == ("apply", LEADER_WORKER_SET) else None
    )
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert "check that the controller" in world.condition("Progressing")["message"]


async def test_a_template_that_can_not_be_stored_is_not_used(world: World) -> None:
    world.kube.fail = lambda verb, kind, name: (
        ServerError("boom", status=500) if (verb, kind) == ("apply", CONTROLLER_REVISION) else None
    )
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert world.kube.names(LEADER_WORKER_SET) == set()
    assert len(world.kube.names(SERVICE)) == 3


async def test_a_refused_object_is_a_condition_with_the_servers_words(world: World) -> None:
    def fail(verb: str, kind: Kind, name: str) -> Exception | None:
        refused = verb == "apply" and kind == LEADER_WORKER_SET
        return Invalid('unknown field "spec.tolerationz"', status=400) if refused else None

    world.kube.fail = fail
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ApplyFailed")
    assert "tolerationz" in accepted["message"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(LEADER_WORKER_SET, "LeaderWorkerSetMissing"), (HTTP_ROUTE, "GatewayAPIMissing")],
    ids=["LeaderWorkerSet", "Gateway API"],
)
async def test_a_missing_api_is_a_condition_and_heals(world: World, kind: Kind, reason: str) -> None:
    world.kube.unserved = {kind} | ({GATEWAY} if kind == HTTP_ROUTE else set())
    assert await world.reconcile() == UNSETTLED_SECONDS
    assert world.condition("Accepted")["reason"] == reason
    assert world.condition("Ready")["status"] == "False"
    assert world.kube.names(SERVICE), "what can be made is made"
    assert await world.writes() == []
    world.kube.unserved = set()
    await world.reconcile()
    assert world.kube.names(kind)
    assert world.condition("Accepted")["status"] == "True"


async def test_a_missing_api_of_pod_monitors_matters_only_where_one_is_insisted_on(world: World) -> None:
    world.kube.unserved = {POD_MONITOR}
    await world.reconcile()
    assert world.condition("Accepted")["status"] == "True"
    world.spec["monitoring"] = {"podMonitor": "Always"}
    await world.reconcile()
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "PodMonitorAPIMissing")
    assert "spec.monitoring.podMonitor" in accepted["message"]
    assert world.kube.names(LEADER_WORKER_SET), "the pods run all the same"
    world.kube.unserved = set()
    await world.reconcile()
    assert world.condition("Accepted")["status"] == "True"
    assert world.kube.names(POD_MONITOR) == {"llm"}
    world.spec["monitoring"] = {"podMonitor": "Never"}
    await world.reconcile()
    assert world.kube.names(POD_MONITOR) == set()


@pytest.mark.parametrize("kind", [SERVICE, POD], ids=lambda kind: str(kind.kind))
async def test_a_kind_that_may_not_be_listed_is_said_and_left_alone(world: World, kind: Kind) -> None:
    await world.reconcile()
    before = copy.deepcopy(world.kube.objects)
    world.kube.fail = lambda verb, of, name: (
        Forbidden(f"cannot list resource {of.plural}", status=403) if (verb, of) == ("list", kind) else None
    )
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ApplyFailed")
    assert f"cannot list resource {kind.plural}" in accepted["message"]
    assert {key: obj for key, obj in world.kube.objects.items() if key[0] == SERVICE} == {
        key: obj for key, obj in before.items() if key[0] == SERVICE
    }


class Late:
    """A world whose operator has not heard of what happens now."""

    def __init__(self, world: World, store: Store) -> None:
        self.store = store
        self._api = RecordingApi(world.kube, store)
        self._reconciler = Reconciler(self._api, store, world.settings, clock=lambda: world.now)

    async def reconcile(self) -> float | None:
        return await self._reconciler.reconcile(KEY)


async def test_a_wish_that_is_no_longer_the_latest_takes_nothing_away(world: World) -> None:
    del world.spec["zones"][1]
    await world.reconcile()
    stale = Late(world, await filled(world.kube))
    two = [{"name": "zone-a", "replicas": 1, "weight": 60}, {"name": "zone-b", "replicas": 2, "weight": 40}]
    world.spec["zones"] = two
    world.kube.one(INFERENCE_CLUSTER, "llm")["metadata"] |= {"generation": 2, "resourceVersion": "900"}
    await world.reconcile()
    for name in world.kube.names(LEADER_WORKER_SET):  # the new zone is seen, the resource that asks for it is not
        live = world.kube.one(LEADER_WORKER_SET, name)
        live["metadata"]["resourceVersion"] = "901"
        stale.store.see(LEADER_WORKER_SET, "MODIFIED", copy.deepcopy(live))
    world.kube.writes.clear()
    assert await stale.reconcile() == 0.0
    assert world.kube.writes == []
    await stale.reconcile()
    assert world.kube.names(LEADER_WORKER_SET) == {"llm-zone-a", "llm-zone-b"}


async def test_a_deleted_resource_that_still_seems_to_stand_gets_no_child_back(world: World) -> None:
    await world.reconcile()
    stale = Late(world, await filled(world.kube))
    del world.kube.objects[INFERENCE_CLUSTER, NAMESPACE, "llm"]
    gone = world.kube.objects.pop((SERVICE, NAMESPACE, "llm-http"))
    stale.store.see(SERVICE, "DELETED", gone | {"metadata": gone["metadata"] | {"resourceVersion": "900"}})
    world.kube.writes.clear()
    assert await stale.reconcile() == 0.0
    assert await stale.reconcile() is None
    assert world.kube.writes == []


async def test_a_child_that_the_store_does_not_know_of_is_not_made_twice(world: World) -> None:
    await world.reconcile()
    stale = Late(world, await filled(world.kube))
    live = world.kube.one(SERVICE, "llm-http")
    stale.store.see(SERVICE, "DELETED", live | {"metadata": live["metadata"] | {"resourceVersion": "900"}})
    world.kube.writes.clear()
    await stale.reconcile()
    assert world.kube.writes == []
    assert stale.store.children(KEY).get(SERVICE, "llm-http") is None, "an event said so, and it is the later word"


async def test_an_invalid_resource_is_a_condition_and_its_children_stay(world: World) -> None:
    await world.reconcile()
    world.spec["parallelism"] = {"tensor": "eight"}
    assert await world.writes() == [("status", "InferenceCluster", "llm")]
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert "spec.parallelism.tensor" in accepted["message"]
    assert len(world.kube.names(LEADER_WORKER_SET)) == 2
    assert await world.writes() == []


async def test_nothing_is_claimed_of_an_invalid_resource_of_which_no_accepted_spec_is_remembered(world: World) -> None:
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    await world.reconcile()
    valid = copy.deepcopy(world.spec)
    world.spec["podTemplate"] = {"spec": {"hostNetwork": True}}
    del world.kube.objects[SERVICE_ACCOUNT, NAMESPACE, "llm-engine"]
    await world.reconcile()
    assert {item["type"]: item["status"] for item in world.status["conditions"]} == {
        "Accepted": "False",
        "Available": "Unknown",
        "Progressing": "Unknown",
        "RoutesProgrammed": "Unknown",
        "Ready": "False",
    }
    assert world.condition("Available")["reason"] == "InvalidSpec"
    assert "weights are not moved until the spec is corrected" in world.condition("Available")["message"]
    assert await world.writes() == []
    world.kube.one(INFERENCE_CLUSTER, "llm")["spec"] = valid
    await world.reconcile()
    assert world.condition("Available")["status"] == "True"


@pytest.mark.parametrize(
    "broken",
    [{"spec": None}, {"spec": {"model": []}}, {"spec": {}}, {"status": {"conditions": [{}], "zones": None}}],
    ids=["no spec", "model is a list", "empty spec", "strange status"],
)
async def test_no_resource_crashes_a_reconcile(world: World, broken: dict[str, Any]) -> None:
    world.kube.one(INFERENCE_CLUSTER, "llm").update(broken)
    await world.reconcile()
    assert world.condition("Accepted")["reason"] in {"InvalidSpec", "Valid"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(POD_FIELDS) | st.text(max_size=3), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(template=st.fixed_dictionaries({}, optional={"metadata": JSON, "spec": JSON, "other": JSON}))
def test_whatever_stands_in_the_pod_template_is_accepted_or_refused(template: Any) -> None:
    async def run() -> None:
        world = World(podTemplate=template)
        await world.reconcile()
        assert world.condition("Accepted")["reason"] in {"InvalidSpec", "Valid"}

    asyncio.run(run())


async def test_a_resource_that_is_gone_or_going_is_left_alone(world: World) -> None:
    world.kube.one(INFERENCE_CLUSTER, "llm")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert await world.reconcile() is None
    world.kube.objects.clear()
    assert await world.reconcile() is None
    assert world.kube.writes == []
