"""What a reconcile makes, repairs, leaves alone and removes, on an in-memory API."""

import copy

import pytest

from tests.unit.controller_samples import NAMESPACE
from tests.unit.reconcile_world import CHILDREN, World
from trireme_operator.controller.reconcile import UNSETTLED_SECONDS
from trireme_operator.kube import (
    HTTP_ROUTE,
    LEADER_WORKER_SET,
    SERVICE,
    Kind,
    Obj,
    ServerError,
)


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
