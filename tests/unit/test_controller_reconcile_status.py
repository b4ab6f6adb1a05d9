"""What a reconcile says: progress, readiness, weights, revisions."""

import copy
from datetime import timedelta

from tests.unit.controller_samples import NAMESPACE, pod
from tests.unit.reconcile_world import GATEWAY_OBJECT, World
from trireme_operator.controller.reconcile import GATEWAY_SECONDS, RESYNC_SECONDS
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    GATEWAY,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD,
    SERVICE,
)
from trireme_operator.rendering import Settings


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
    world.spec["rollout"] = {"strategy": "AllZones"}
    world.spec["engine"] = {"image": "vllm/vllm-openai:next"}
    await world.reconcile()
    await world.reconcile()
    assert world.condition("Ready")["reason"] == "RollingOut"
    assert "groups of zone zone-a are being replaced" in world.condition("Progressing")["message"]
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
