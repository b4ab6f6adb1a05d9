"""Templates as revisions: what zones are made from when a spec is refused, a revision lost, an operator new."""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

import pytest

from tests.unit.controller_samples import NAMESPACE
from tests.unit.reconcile_world import World
from trireme_operator.api import Violation
from trireme_operator.api.labels import ANNOTATION_ACCEPTED, ANNOTATION_RENDERING, ANNOTATION_REVISION
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    Invalid,
    Kind,
    Obj,
    ServerError,
)
from trireme_operator.rendering import Settings
from trireme_operator.rendering.service_account import ACCEPTED_LIMIT_BYTES

api_parse = sys.modules["trireme_operator.api.parse"]  # its name is that of its function
REFUSED: Obj = {"spec": {"hostNetwork": True}}
ALL_ZONES = {"strategy": "AllZones"}
NEWER = Settings(launcher_image="trireme.dev/runtime:2")


async def settled(**spec: Any) -> World:
    world = World(**spec)
    await world.reconcile()
    if "gateway" not in spec:
        world.everything_ready()
        world.accept_route()
    await world.reconcile()
    return world


def live(world: World, zone: str) -> Obj:
    return world.kube.one(LEADER_WORKER_SET, f"llm-{zone}")


def revision_of(world: World, zone: str) -> str:
    return str(live(world, zone)["metadata"]["annotations"][ANNOTATION_REVISION])


def image_of(world: World, zone: str) -> str:
    template = live(world, zone)["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
    return str(template["spec"]["containers"][0]["image"])


def launcher_of(world: World, zone: str) -> str:
    template = live(world, zone)["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
    return str(template["spec"]["initContainers"][0]["image"])


def lose(world: World, kind: Kind, name: str) -> Obj:
    return world.kube.objects.pop((kind, NAMESPACE, name))


async def test_a_refused_spec_stops_no_repair() -> None:
    world = await settled()
    before = {kind: copy.deepcopy(world.kube.one(kind, name)["spec"]) for kind, name in CHILDREN_OF_ZONE_A}
    world.spec["podTemplate"] = REFUSED
    world.spec["zones"] = [{"name": "zone-a", "replicas": 9, "weight": 1}]
    assert await world.writes() == [("status", "InferenceCluster", "llm")], "nothing of the refused spec is obeyed"
    for kind, name in CHILDREN_OF_ZONE_A:
        lose(world, kind, name)
    live(world, "zone-b")["spec"]["leaderWorkerTemplate"]["size"] = 7
    live(world, "zone-b")["spec"]["replicas"] = 5
    await world.reconcile()
    assert {kind: world.kube.one(kind, name)["spec"] for kind, name in CHILDREN_OF_ZONE_A} == before
    assert live(world, "zone-b")["spec"]["leaderWorkerTemplate"]["size"] == 2
    assert live(world, "zone-b")["spec"]["replicas"] == 2
    assert await world.writes() == []


CHILDREN_OF_ZONE_A = ((LEADER_WORKER_SET, "llm-zone-a"), (SERVICE, "llm-zone-a-http"), (HTTP_ROUTE, "llm"))


async def test_a_refused_spec_is_said_and_the_rest_is_still_observed() -> None:
    world = await settled()
    world.spec["podTemplate"] = REFUSED
    await world.reconcile()
    accepted_condition = world.condition("Accepted")
    assert (accepted_condition["status"], accepted_condition["reason"]) == ("False", "InvalidSpec")
    assert "hostNetwork" in accepted_condition["message"]
    assert "go on by the spec that was accepted before" in accepted_condition["message"]
    assert world.condition("Available")["status"] == "True"
    assert world.condition("RoutesProgrammed")["status"] == "True"
    assert world.condition("Ready")["reason"] == "InvalidSpec"


async def test_weights_follow_readiness_while_the_spec_is_refused() -> None:
    world = await settled()
    world.spec["podTemplate"] = REFUSED
    for worker in ("llm-zone-a-0", "llm-zone-a-0-1"):
        lose(world, POD, worker)
    await world.reconcile()
    assert world.weights() == {"llm-zone-a-http": 0, "llm-zone-b-http": 40}
    world.group("zone-a", 0)
    await world.reconcile()
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 40}


async def test_a_lost_revision_comes_back_while_the_spec_is_refused() -> None:
    world = await settled()
    name = revision_of(world, "zone-a")
    world.spec["podTemplate"] = REFUSED
    world.settings = NEWER
    before = copy.deepcopy(lose(world, CONTROLLER_REVISION, name)["data"])
    await world.reconcile()
    assert world.kube.one(CONTROLLER_REVISION, name)["data"] == before


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: None, id="gone"),
        pytest.param(lambda text: "{", id="no JSON"),
        pytest.param(lambda text: '{"model": {}}', id="no valid spec"),
        pytest.param(lambda text: text.replace('"pipeline":2', '"pipeline":3'), id="no plan"),
    ],
)
async def test_what_is_remembered_and_unusable_is_not_used(spoil: Any) -> None:
    world = await settled(accelerator={"resource": "cpu", "perPod": 2}, parallelism={"tensor": 1, "pipeline": 2})
    annotations = world.kube.one(SERVICE_ACCOUNT, "llm-engine")["metadata"]["annotations"]
    annotations[ANNOTATION_ACCEPTED] = spoil(annotations[ANNOTATION_ACCEPTED])
    world.spec["podTemplate"] = REFUSED
    assert await world.writes() == [("status", "InferenceCluster", "llm")]
    assert world.condition("Available")["status"] == "Unknown"


async def test_somebody_elses_account_is_not_believed() -> None:
    world = await settled()
    world.spec["podTemplate"] = REFUSED
    world.kube.one(SERVICE_ACCOUNT, "llm-engine")["metadata"]["ownerReferences"] = []
    await world.reconcile()
    assert world.condition("Available")["status"] == "Unknown"


@pytest.fixture
def stricter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version of the operator has a rule that every resource breaks."""
    broken = Violation("spec.podTemplate", "is not what it used to be")
    monkeypatch.setattr(api_parse, "overlay_violations", lambda spec: [broken])


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "of an operator that remembered nothing"])
async def test_a_stricter_operator_stops_no_repair(
    remembered: bool, stricter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(api_parse, "overlay_violations", lambda spec: [])
        world = await settled()
    if not remembered:
        del world.kube.one(SERVICE_ACCOUNT, "llm-engine")["metadata"]["annotations"][ANNOTATION_ACCEPTED]
    world.settings = NEWER
    before = copy.deepcopy(live(world, "zone-a")["spec"])
    lose(world, LEADER_WORKER_SET, "llm-zone-a")
    live(world, "zone-b")["spec"]["leaderWorkerTemplate"]["size"] = 7
    await world.reconcile()
    assert "is not what it used to be" in world.condition("Accepted")["message"]
    assert world.condition("Available")["status"] == "True"
    assert live(world, "zone-a")["spec"] == before
    assert live(world, "zone-b")["spec"]["leaderWorkerTemplate"]["size"] == 2
    assert await world.writes() == []


async def test_what_only_an_earlier_version_accepted_is_never_rendered(
    stricter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(api_parse, "overlay_violations", lambda spec: [])
        world = await settled()
    for kind in (CONTROLLER_REVISION, LEADER_WORKER_SET):
        for name in world.kube.names(kind):
            lose(world, kind, name)
    await world.reconcile()
    assert world.kube.names(LEADER_WORKER_SET) == set()
    assert world.kube.names(CONTROLLER_REVISION) == set()


async def test_a_spec_that_no_annotation_can_hold_is_served_and_not_remembered() -> None:
    overlay = {"metadata": {"annotations": {"note": "x" * ACCEPTED_LIMIT_BYTES}}}
    world = await settled(podTemplate=overlay)
    assert world.condition("Ready")["status"] == "True"
    assert ANNOTATION_ACCEPTED not in world.kube.one(SERVICE_ACCOUNT, "llm-engine")["metadata"]["annotations"]


async def test_a_template_that_the_api_server_refuses_leaves_the_zones_their_own() -> None:
    world = await settled(rollout=ALL_ZONES)
    first = revision_of(world, "zone-a")
    world.spec["engine"] = {"image": "refused"}

    apply = world.kube.apply

    async def picky(kind: Kind, obj: Obj, **options: Any) -> Obj:
        if kind == LEADER_WORKER_SET and '"refused"' in json.dumps(obj):
            raise Invalid("admission webhook denied the request", status=422)
        return await apply(kind, obj, **options)

    world.kube.apply = picky  # type: ignore[method-assign]
    lose(world, LEADER_WORKER_SET, "llm-zone-a")
    live(world, "zone-b")["spec"]["leaderWorkerTemplate"]["size"] = 7
    with pytest.raises(ExceptionGroup, match="some children"):
        await world.reconcile()
    assert world.condition("Accepted")["reason"] == "ApplyFailed"
    assert (revision_of(world, "zone-a"), revision_of(world, "zone-b")) == (first, first)
    assert live(world, "zone-b")["spec"]["leaderWorkerTemplate"]["size"] == 2
    world.kube.writes.clear()
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert world.kube.writes == []
    world.kube.apply = apply  # type: ignore[method-assign]
    await world.reconcile()
    assert image_of(world, "zone-a") == image_of(world, "zone-b") == "refused"


async def test_a_template_that_can_not_be_stored_leaves_the_zones_their_own() -> None:
    world = await settled()
    first = revision_of(world, "zone-a")
    world.spec["engine"] = {"image": "next"}
    world.kube.fail = lambda verb, kind, name: (
        ServerError("boom", status=500) if (verb, kind) == ("apply", CONTROLLER_REVISION) else None
    )
    live(world, "zone-a")["spec"]["leaderWorkerTemplate"]["size"] = 7
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert revision_of(world, "zone-a") == first
    assert live(world, "zone-a")["spec"]["leaderWorkerTemplate"]["size"] == 2


@pytest.mark.parametrize("zones", [pytest.param(True, id="two zones"), pytest.param(False, id="a pool")])
async def test_a_lost_revision_is_restored_from_what_runs_and_not_rendered_again(zones: bool) -> None:
    world = await settled() if zones else await settled(zones=None, replicas=1, gateway=None)
    (name,) = world.kube.names(CONTROLLER_REVISION)
    lost = copy.deepcopy(lose(world, CONTROLLER_REVISION, name))
    world.settings = NEWER
    await world.reconcile()
    assert world.kube.one(CONTROLLER_REVISION, name)["data"] == lost["data"]
    assert await world.writes() == [], "and no LeaderWorkerSet is touched"


async def test_a_lost_revision_is_restored_from_the_zone_that_nobody_edited() -> None:
    world = await settled()
    (name,) = world.kube.names(CONTROLLER_REVISION)
    lost = lose(world, CONTROLLER_REVISION, name)
    world.settings = NEWER
    live(world, "zone-a")["spec"]["leaderWorkerTemplate"]["size"] = 7
    await world.reconcile()
    assert world.kube.one(CONTROLLER_REVISION, name)["data"] == lost["data"]
    assert live(world, "zone-a")["spec"]["leaderWorkerTemplate"]["size"] == 2


async def test_without_a_proof_what_runs_is_what_is_stored() -> None:
    world = await settled()
    (name,) = world.kube.names(CONTROLLER_REVISION)
    lose(world, CONTROLLER_REVISION, name)
    world.settings = NEWER
    for zone in ("zone-a", "zone-b"):
        for kind in ("leaderTemplate", "workerTemplate"):
            live(world, zone)["spec"]["leaderWorkerTemplate"][kind]["metadata"]["labels"]["theirs"] = "1"
        live(world, zone)["metadata"]["annotations"].pop("trireme.dev/rendered-hash")
    before = copy.deepcopy(live(world, "zone-a")["spec"])
    await world.reconcile()
    assert live(world, "zone-a")["spec"] == before
    assert launcher_of(world, "zone-a") == "trireme.dev/runtime:1"


async def test_a_lost_revision_that_nothing_runs_is_rendered() -> None:
    world = await settled()
    for kind in (CONTROLLER_REVISION, LEADER_WORKER_SET):
        for name in world.kube.names(kind):
            lose(world, kind, name)
    world.settings = NEWER
    await world.reconcile()
    assert launcher_of(world, "zone-a") == "trireme.dev/runtime:2"


async def test_a_newer_rendering_is_announced_and_taken_only_by_choice() -> None:
    world = await settled(rollout=ALL_ZONES)
    first = revision_of(world, "zone-a")
    assert world.status["revision"] == first
    assert "newerRendering" not in world.status
    world.settings = NEWER
    await world.reconcile()
    newer = world.status["newerRendering"]
    assert newer.startswith(f"{first}-")
    assert launcher_of(world, "zone-a") == "trireme.dev/runtime:1"

    world.kube.one(INFERENCE_CLUSTER, "llm")["metadata"]["annotations"] = {ANNOTATION_RENDERING: newer}
    await world.reconcile()
    assert launcher_of(world, "zone-a") == launcher_of(world, "zone-b") == "trireme.dev/runtime:2"
    assert world.status["revision"] == revision_of(world, "zone-a") == newer
    assert "newerRendering" not in world.status
    assert {obj["revision"] for obj in revisions(world)} == {1, 2}
    assert await world.writes() == []


async def test_the_first_rendering_is_found_again_by_its_own_name() -> None:
    world = await settled()
    first = world.status["revision"]
    world.settings = NEWER
    await world.reconcile()
    newer = world.status["newerRendering"]
    world.kube.one(INFERENCE_CLUSTER, "llm")["metadata"]["annotations"] = {ANNOTATION_RENDERING: newer}
    await world.reconcile()
    world.settings = Settings(launcher_image="trireme.dev/runtime:1")
    await world.reconcile()
    assert (world.status["revision"], world.status["newerRendering"]) == (newer, first)


@pytest.mark.parametrize("choice", ["", "other-41621c16d9-00000000", "llm-0000000000-00000000", "$(rm)", "x" * 300])
async def test_a_rendering_of_other_inputs_counts_for_nothing(choice: str) -> None:
    world = await settled()
    world.kube.one(INFERENCE_CLUSTER, "llm")["metadata"]["annotations"] = {ANNOTATION_RENDERING: choice}
    assert await world.writes() == []


async def test_an_edit_of_the_spec_leaves_a_chosen_rendering_behind_and_its_return_finds_it() -> None:
    world = await settled()
    world.settings = NEWER
    await world.reconcile()
    newer = world.status["newerRendering"]
    world.kube.one(INFERENCE_CLUSTER, "llm")["metadata"]["annotations"] = {ANNOTATION_RENDERING: newer}
    await world.reconcile()
    world.spec["engine"] = {"image": "next"}
    await world.reconcile()
    assert not world.status["revision"].startswith(newer.rpartition("-")[0])
    del world.spec["engine"]
    await world.reconcile()
    assert world.status["revision"] == newer


def revisions(world: World) -> list[Obj]:
    return [world.kube.one(CONTROLLER_REVISION, name) for name in world.kube.names(CONTROLLER_REVISION)]
