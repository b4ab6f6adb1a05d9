"""The phases of a reconcile on an in-memory API: what is made, repaired, removed and said."""

import asyncio
import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.controller_samples import NAMESPACE, pod, resource
from tests.unit.fake_kube import FakeKube
from tests.unit.stores import filled
from trireme_operator.controller.queue import Key
from trireme_operator.controller.reconcile import GATEWAY_SECONDS, RESYNC_SECONDS, UNSETTLED_SECONDS, Reconciler
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
    Obj,
    ServerError,
)
from trireme_operator.rendering import Settings

POD_FIELDS = ("name", "containers", "env", "volumes", "labels", "tolerations", "securityContext", "engine", "value")
KEY = Key(NAMESPACE, "llm")
CHILDREN = (
    LEADER_WORKER_SET,
    SERVICE,
    SERVICE_ACCOUNT,
    CONTROLLER_REVISION,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    HTTP_ROUTE,
)


class World:
    """An API with one resource, and a reconciler whose clock a test can move."""

    def __init__(self, **spec: Any) -> None:
        self.kube = FakeKube()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.settings = Settings(launcher_image="trireme.dev/runtime:1")
        self.kube.add(INFERENCE_CLUSTER, resource(**spec))

    async def reconcile(self) -> float | None:
        """As by a process that has just started: all that it knows was listed."""
        store = await filled(self.kube)
        api = RecordingApi(self.kube, store)
        return await Reconciler(api, store, self.settings, clock=lambda: self.now).reconcile(KEY)

    async def writes(self) -> list[tuple[str, str, str]]:
        """What one reconcile writes."""
        self.kube.writes.clear()
        await self.reconcile()
        return list(self.kube.writes)

    @property
    def spec(self) -> Any:
        return self.kube.one(INFERENCE_CLUSTER, "llm")["spec"]

    @property
    def status(self) -> Any:
        return self.kube.one(INFERENCE_CLUSTER, "llm")["status"]

    def condition(self, kind: str) -> dict[str, Any]:
        found = [item for item in self.status["conditions"] if item["type"] == kind]
        assert len(found) == 1, self.status["conditions"]
        return dict(found[0])

    def weights(self) -> dict[str, int]:
        rules = self.kube.one(HTTP_ROUTE, self.kube.names(HTTP_ROUTE).copy().pop())["spec"]["rules"]
        return {ref["name"]: ref["weight"] for ref in rules[0]["backendRefs"]}

    def group(self, zone: str, index: int, **leader: Any) -> None:
        self.kube.add(POD, pod(f"llm-{zone}", index, 0, **leader))
        self.kube.add(POD, pod(f"llm-{zone}", index, 1))

    def everything_ready(self) -> None:
        for zone, index in (("zone-a", 0), ("zone-b", 0), ("zone-b", 1)):
            self.group(zone, index)
        self.kube.add(GATEWAY, GATEWAY_OBJECT)
        self.observe_groups()

    def observe_groups(self) -> None:
        """LeaderWorkerSet's controller has looked at every set."""
        for name in self.kube.names(LEADER_WORKER_SET):
            live = self.kube.one(LEADER_WORKER_SET, name)
            live.setdefault("status", {})["observedGeneration"] = live["metadata"]["generation"]

    def accept_route(self) -> None:
        route = self.kube.one(HTTP_ROUTE, self.kube.names(HTTP_ROUTE).copy().pop())
        seen = {"status": "True", "observedGeneration": route["metadata"]["generation"]}
        told = [{"type": kind, **seen} for kind in ("Accepted", "ResolvedRefs")]
        parent = {"parentRef": {"name": "edge", "namespace": "infra"}, "conditions": told}
        route["status"] = {"parents": [parent]}


GATEWAY_OBJECT: Obj = {
    "metadata": {"name": "edge", "namespace": "infra"},
    "spec": {"listeners": [{"name": "web", "protocol": "HTTP", "port": 80}]},
    "status": {"conditions": [{"type": "Programmed", "status": "True"}]},
}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for obj in world.kube.objects.values():
        assert not obj["metadata"].get("finalizers"), "the operator adds no finalizer"


async def test_creates_every_child_once_and_then_writes_nothing(world: World) -> None:
    assert await world.reconcile() == UNSETTLED_SECONDS, "no gateway took the route yet"
    assert {kind.kind: len(world.kube.names(kind)) for kind in CHILDREN} == {
        "LeaderWorkerSet": 2,
        "Service": 3,
        "ServiceAccount": 1,
        "ControllerRevision": 1,
        "PodDisruptionBudget": 2,
        "PodMonitor": 1,
        "HTTPRoute": 1,
    }
    assert [name for verb, _, name in world.kube.writes if verb == "status"] == ["llm"]
    assert await world.writes() == []


async def test_budget_of_creation_is_children_plus_one_replicas_apply_a_zone_that_differs_and_one_status(
    world: World,
) -> None:
    writes = await world.writes()
    assert len(writes) == 11 + 2 + 1


async def test_replicas_are_applied_on_their_own(world: World) -> None:
    await world.reconcile()
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["spec"]["replicas"] == 2
    world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["spec"]["replicas"] = 5
    assert await world.writes() == [("apply", "LeaderWorkerSet", "llm-zone-b")]
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["spec"]["replicas"] == 2


@pytest.mark.parametrize("kind", CHILDREN, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("damage", ["deleted", "label stripped", "annotation stripped", "owner stripped"])
async def test_a_damaged_child_is_repaired(world: World, kind: Kind, damage: str) -> None:
    await world.reconcile()
    name = min(world.kube.names(kind))
    before = copy.deepcopy(world.kube.one(kind, name))
    live = world.kube.one(kind, name)
    match damage:
        case "deleted":
            del world.kube.objects[kind, NAMESPACE, name]
        case "label stripped":
            live["metadata"]["labels"] = {}
        case "annotation stripped":
            live["metadata"]["annotations"] = {}
        case _:
            live["metadata"]["ownerReferences"] = []
    await world.reconcile()
    after = world.kube.one(kind, name)
    for volatile in ("uid", "resourceVersion"):
        before["metadata"].pop(volatile)
    assert {key: value for key, value in after["metadata"].items() if key in before["metadata"]} == before["metadata"]
    assert {key: after[key] for key in after if key != "metadata"} == {
        key: before[key] for key in before if key != "metadata"
    }
    assert await world.writes() == []


async def test_a_foreign_edit_of_what_we_render_is_undone_and_an_addition_is_left(world: World) -> None:
    await world.reconcile()
    service = world.kube.one(SERVICE, "llm-http")
    service["spec"]["selector"] = {"app": "somebody-elses"}
    service["metadata"]["annotations"]["example.com/note"] = "keep me"
    assert await world.writes() == [("apply", "Service", "llm-http")]
    service = world.kube.one(SERVICE, "llm-http")
    assert service["spec"]["selector"]["trireme.dev/cluster"] == "llm"
    assert service["metadata"]["annotations"]["example.com/note"] == "keep me"


@pytest.mark.parametrize("edit", [{"port": 81}, {"protocol": "UDP"}], ids=str)
async def test_an_edited_port_of_our_name_is_replaced_because_no_apply_could(world: World, edit: Obj) -> None:
    await world.reconcile()
    service = world.kube.one(SERVICE, "llm-http")
    before = copy.deepcopy(service["spec"]["ports"])
    service["spec"]["ports"][0] |= edit
    assert await world.writes() == [("merge", "Service", "llm-http"), ("apply", "Service", "llm-http")]
    assert world.kube.one(SERVICE, "llm-http")["spec"]["ports"] == before
    assert await world.writes() == []


async def test_a_port_of_another_name_is_left(world: World) -> None:
    await world.reconcile()
    admin = {"name": "admin", "port": 81, "protocol": "TCP"}
    world.kube.one(SERVICE, "llm-http")["spec"]["ports"].append(admin)
    assert await world.writes() == []


@pytest.mark.parametrize("kind", [SERVICE, LEADER_WORKER_SET], ids=lambda kind: kind.kind)
async def test_a_key_added_to_a_selector_is_undone(world: World, kind: Kind) -> None:
    await world.reconcile()
    name = "llm-http" if kind == SERVICE else "llm-zone-a"
    spec = world.kube.one(kind, name)["spec"]
    if kind == LEADER_WORKER_SET:
        spec["leaderWorkerTemplate"]["workerTemplate"]["spec"]["nodeSelector"]["nowhere"] = "1"
    else:
        spec["selector"]["nowhere"] = "1"
    assert await world.writes() == [("apply", kind.kind, name)]
    assert await world.writes() == []


async def test_a_removed_zone_is_pruned_and_foreign_objects_are_not(world: World) -> None:
    await world.reconcile()
    label = {"trireme.dev/cluster": "llm", "app.kubernetes.io/managed-by": "trireme"}
    theirs = {"name": "theirs", "namespace": NAMESPACE, "labels": label}
    world.kube.add(SERVICE, {"metadata": theirs})
    owner = [{"kind": "Other", "name": "x", "uid": "else", "controller": True}]
    world.kube.add(LEADER_WORKER_SET, {"metadata": theirs | {"ownerReferences": owner}, "spec": {}})
    world.spec["zones"].pop()
    writes = await world.writes()
    assert ("delete", "LeaderWorkerSet", "llm-zone-b") in writes
    assert ("delete", "Service", "llm-zone-b-http") in writes
    assert world.kube.names(LEADER_WORKER_SET) == {"llm-zone-a", "theirs"}
    assert "theirs" in world.kube.names(SERVICE)
    assert writes.index(("apply", "HTTPRoute", min(world.kube.names(HTTP_ROUTE)))) < writes.index(
        ("delete", "LeaderWorkerSet", "llm-zone-b")
    )


async def test_the_route_goes_when_the_gateway_is_no_longer_asked_for(world: World) -> None:
    await world.reconcile()
    del world.spec["gateway"]
    await world.reconcile()
    assert world.kube.names(HTTP_ROUTE) == set()
    assert "RoutesProgrammed" not in {item["type"] for item in world.status["conditions"]}
    assert world.status["url"] == "http://llm-http.genai.svc/v1"


async def test_a_foreign_object_of_a_needed_name_is_never_taken_over(world: World) -> None:
    world.kube.add(
        SERVICE, {"metadata": {"name": "llm-http", "namespace": NAMESPACE}, "spec": {"selector": {"a": "b"}}}
    )
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert world.kube.one(SERVICE, "llm-http")["spec"] == {"selector": {"a": "b"}}
    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NameConflict")
    assert "Service llm-http" in accepted["message"]
    assert len(world.kube.names(LEADER_WORKER_SET)) == 2, "the others go on"
    del world.kube.objects[SERVICE, NAMESPACE, "llm-http"]
    await world.reconcile()
    assert world.condition("Accepted")["status"] == "True"


async def test_an_object_of_an_earlier_resource_of_this_name_is_left_to_the_garbage_collector(world: World) -> None:
    await world.reconcile()
    live = world.kube.one(LEADER_WORKER_SET, "llm-zone-a")
    live["metadata"]["ownerReferences"][0]["uid"] = "of-the-earlier-one"
    before = copy.deepcopy(live)
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-a") == before
    assert world.condition("Accepted")["reason"] == "NameConflict"
    del world.kube.objects[LEADER_WORKER_SET, NAMESPACE, "llm-zone-a"]
    await world.reconcile()
    assert world.condition("Accepted")["status"] == "True"


async def test_groups_stay_while_the_route_to_them_cannot_be_changed(world: World) -> None:
    await world.reconcile()
    world.spec["zones"].pop()
    world.kube.fail = lambda verb, kind, name: (
        ServerError("boom", status=500) if (verb, kind) == ("apply", HTTP_ROUTE) else None
    )
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert "llm-zone-b" in world.kube.names(LEADER_WORKER_SET)
    assert world.condition("RoutesProgrammed")["reason"] == "ApplyFailed"
    world.kube.fail = lambda verb, kind, name: None
    await world.reconcile()
    assert world.kube.names(LEADER_WORKER_SET) == {"llm-zone-a"}


async def test_a_child_that_is_being_deleted_is_not_written(world: World) -> None:
    await world.reconcile()
    live = world.kube.one(LEADER_WORKER_SET, "llm-zone-a")
    live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    live["spec"]["startupPolicy"] = "LeaderReady"
    assert await world.writes() == []


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


async def test_a_rolling_update_is_progress(world: World) -> None:
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    condition = {"type": "UpdateInProgress", "status": "True"}
    world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["status"]["conditions"] = [condition]
    await world.reconcile()
    assert world.condition("Progressing")["reason"] == "RollingOut"
    assert "llm-zone-b" in world.condition("Progressing")["message"]
    assert world.condition("Available")["status"] == "True"
    assert world.condition("Ready")["reason"] == "RollingOut"


async def test_a_new_template_is_progress_before_leader_worker_set_has_seen_it(world: World) -> None:
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    await world.reconcile()
    assert world.condition("Ready")["status"] == "True"
    world.spec["engine"] = {"image": "vllm/vllm-openai:next"}
    await world.reconcile()
    assert world.condition("Ready")["reason"] == "RollingOut"
    assert "llm-zone-a, llm-zone-b" in world.condition("Progressing")["message"]
    world.observe_groups()
    await world.reconcile()
    assert world.condition("Ready")["status"] == "True"


async def test_groups_that_leader_worker_set_has_never_looked_at_are_starting() -> None:
    world = World(zones=None, replicas=0, gateway=None)
    await world.reconcile()
    assert world.condition("Progressing")["reason"] == "Starting"
    assert "check that its controller runs" in world.condition("Progressing")["message"]


async def test_a_serious_cause_comes_before_one_that_passes(world: World) -> None:
    await world.reconcile()
    world.group("zone-a", 0, ready=False)
    image = {"waiting": {"reason": "ImagePullBackOff"}}
    world.group("zone-b", 1, ready=False, containerStatuses=[{"name": "engine", "image": "x", "state": image}])
    await world.reconcile()
    progressing = world.condition("Progressing")
    assert progressing["reason"] == "ImageNotFound"
    assert progressing["message"].startswith("zone zone-b, group 1: pod llm-zone-b-1")


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


async def test_everything_ready(world: World) -> None:
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    assert await world.reconcile() == RESYNC_SECONDS
    assert {item["type"]: item["status"] for item in world.status["conditions"]} == {
        "Accepted": "True",
        "Available": "True",
        "Progressing": "False",
        "RoutesProgrammed": "True",
        "Ready": "True",
    }
    assert world.status["url"] == "http://llm.example.com/v1"
    assert (world.status["replicas"], world.status["readyReplicas"]) == (3, 3)
    assert world.status["plan"] == {"podsPerGroup": 2, "ranksPerGroup": 2, "gpusPerGroup": 0, "totalGpus": 0}
    assert await world.writes() == []


async def test_a_gateway_that_is_being_set_up_is_looked_at_again_soon(world: World) -> None:
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    world.kube.one(GATEWAY, "edge", "infra")["status"] = {}
    assert await world.reconcile() == GATEWAY_SECONDS
    assert world.condition("Ready")["reason"] == "GatewayNotProgrammed"
    world.kube.one(GATEWAY, "edge", "infra")["status"] = GATEWAY_OBJECT["status"]
    assert await world.reconcile() == RESYNC_SECONDS
    assert world.condition("Ready")["status"] == "True"


async def test_a_wiped_status_comes_back_the_same(world: World) -> None:
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    await world.reconcile()
    before = copy.deepcopy(world.status)
    world.kube.one(INFERENCE_CLUSTER, "llm")["status"] = {}
    await world.reconcile()
    assert world.status == before


async def test_the_transition_time_moves_only_when_the_status_flips(world: World) -> None:
    await world.reconcile()
    first = world.condition("Ready")["lastTransitionTime"]
    world.now += timedelta(hours=1)
    world.group("zone-a", 0, ready=False)
    await world.reconcile()
    assert world.condition("Ready")["lastTransitionTime"] == first
    for key in [key for key in world.kube.objects if key[0] == POD]:
        del world.kube.objects[key]
    world.everything_ready()
    world.accept_route()
    await world.reconcile()
    assert world.condition("Ready")["lastTransitionTime"] == "2026-01-01T01:00:00Z"


async def test_traffic_leaves_a_zone_without_a_ready_group_and_comes_back(world: World) -> None:
    await world.reconcile()
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 40}, "nothing was ready yet"
    world.group("zone-a", 0)
    await world.reconcile()
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 0}
    assert world.status["zones"][1]["weightReason"] == "NoReadyGroup"
    for key in [key for key in world.kube.objects if key[0] == POD]:
        del world.kube.objects[key]
    await world.reconcile()
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 0}, "the live route is the memory"
    world.group("zone-b", 0)
    world.group("zone-b", 1)
    await world.reconcile()
    assert world.weights() == {"llm-zone-a-http": 0, "llm-zone-b-http": 40}


async def test_a_group_without_one_of_its_pods_is_not_ready(world: World) -> None:
    await world.reconcile()
    world.kube.add(POD, pod("llm-zone-a", 0, 0))
    await world.reconcile()
    assert world.status["zones"][0]["readyGroups"] == 0
    assert "1 of 2 pods" in world.status["zones"][0]["message"]


async def test_an_upgrade_of_the_operator_restarts_no_group(world: World) -> None:
    await world.reconcile()
    before = copy.deepcopy(world.kube.one(LEADER_WORKER_SET, "llm-zone-a")["spec"])
    world.settings = Settings(launcher_image="trireme.dev/runtime:2")
    assert await world.writes() == [("status", "InferenceCluster", "llm")], "that a newer rendering can be had"
    assert await world.writes() == []
    del world.kube.objects[LEADER_WORKER_SET, NAMESPACE, "llm-zone-a"]
    await world.reconcile()
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-a")["spec"] == before


async def test_weights_and_zones_make_no_new_revision_and_an_image_does(world: World) -> None:
    await world.reconcile()
    world.spec["zones"][0]["weight"] = 10
    await world.reconcile()
    assert len(world.kube.names(CONTROLLER_REVISION)) == 1
    world.spec["engine"] = {"image": "vllm/vllm-openai:next"}
    await world.reconcile()
    assert len(world.kube.names(CONTROLLER_REVISION)) == 2
    named = world.kube.one(LEADER_WORKER_SET, "llm-zone-a")["metadata"]["annotations"]["trireme.dev/revision"]
    assert world.kube.one(CONTROLLER_REVISION, named)["revision"] == 2


async def test_old_revisions_go_and_a_rollback_makes_the_old_one_the_newest(world: World) -> None:
    for version in range(8):
        world.spec["engine"] = {"image": f"vllm/vllm-openai:{version}"}
        await world.reconcile()
    assert len(world.kube.names(CONTROLLER_REVISION)) == 5
    world.spec["engine"] = {"image": "vllm/vllm-openai:4"}
    await world.reconcile()
    named = world.kube.one(LEADER_WORKER_SET, "llm-zone-a")["metadata"]["annotations"]["trireme.dev/revision"]
    assert world.kube.one(CONTROLLER_REVISION, named)["revision"] == 9
    assert await world.writes() == []


async def test_without_zones_there_is_one_pool_and_one_service() -> None:
    world = World(zones=None, replicas=2, gateway=None)
    await world.reconcile()
    assert world.kube.names(LEADER_WORKER_SET) == {"llm"}
    assert world.kube.names(SERVICE) == {"llm-http"}
    assert world.status["zones"][0]["name"] == ""
    assert world.status["replicas"] == 2


async def test_scaled_to_zero_is_neither_available_nor_progressing() -> None:
    world = World(zones=None, replicas=0, gateway=None)
    await world.reconcile()
    world.observe_groups()
    await world.reconcile()
    assert world.condition("Available")["reason"] == "ScaledToZero"
    assert world.condition("Progressing")["status"] == "False"
    assert world.condition("Ready")["reason"] == "ScaledToZero"
