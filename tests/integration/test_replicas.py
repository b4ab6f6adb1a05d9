"""Every switch between the regimes of a zone's number of groups, event by event, on a real API server.

There is no controller-manager here: a hand plays the autoscaler, through the scale subresource and with its field
manager, and keeps its rules (bounds, and a target at 0 is left alone). Each reconcile is one of a new operator.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench.client import connected as streams
from e2e.cluster.controlplane import ControlPlane
from tests.integration.replicas_stage import HPA_MANAGER, NAME, SCALING, Killed, Stage, Tape
from tests.integration.server import Hands, condition
from trireme_operator.kube import (
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    Kind,
    Obj,
)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(plane: ControlPlane, hands: Hands, namespace: str) -> AsyncIterator[Stage]:
    tape = Tape(hands, namespace)
    async with streams(plane.kubeconfig) as client:
        began = asyncio.Event()
        watch = asyncio.create_task(client.watch(LEADER_WORKER_SET, "", tape.see, began))
        await began.wait()
        yield Stage(hands, namespace, tape)
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch


async def test_created_autoscaled_it_starts_once_and_then_follows_the_autoscaler(stage: Stage) -> None:
    await stage.create(replicas=2)
    assert await stage.tape.cut() == [1, 2]
    assert await stage.owners() == {"trireme-replicas"}
    for number in (5, 3, 1, 4):
        await stage.autoscaler_wants(number)
        await stage.settle()
    assert await stage.owners() == {HPA_MANAGER}
    await stage.edit(engine={"image": "vllm/vllm-openai:other"})
    await stage.settle()
    await stage.edit(zone={"replicas": 6}, parallelism={"pipeline": 4})
    await stage.settle()
    assert await stage.tape.cut() == [2, 5, 3, 1, 4], "template and start changed, the number did not"
    assert (await stage.zone())["groups"] == 4


async def test_switched_on_with_a_number_in_flight_keeps_it_until_the_autoscaler_says_another(stage: Stage) -> None:
    await stage.create(replicas=3, autoscaling=None)
    await stage.edit(autoscaling=SCALING, zone={"replicas": None})
    await stage.settle()
    assert await stage.tape.cut() == [1, 3]
    await stage.autoscaler_wants(5)
    await stage.settle()
    assert await stage.tape.cut() == [3, 5]


async def test_switched_off_the_number_that_is_asked_for_is_reached_in_one_step(stage: Stage) -> None:
    await stage.create(replicas=2)
    await stage.autoscaler_wants(6)
    await stage.tape.cut()
    await stage.edit(autoscaling=None, zone={"replicas": 4})
    await stage.settle()
    assert await stage.tape.cut() == [6, 4]
    assert await stage.autoscaler() is None
    assert await stage.owners() == {"trireme-replicas"}
    await stage.scale(5)  # a round of the autoscaler that had begun before it was deleted
    await stage.settle()
    assert await stage.tape.cut() == [4, 5, 4]


async def test_switched_off_at_the_number_there_is_nothing_moves(stage: Stage) -> None:
    await stage.create()
    await stage.autoscaler_wants(4)
    await stage.tape.cut()
    await stage.edit(autoscaling=None, zone={"replicas": 4})
    await stage.settle()
    await stage.edit(engine={"image": "vllm/vllm-openai:other"})
    await stage.settle()
    assert await stage.tape.cut() == [4]


@pytest.mark.parametrize(
    ("bounds", "end"), [({"maxReplicas": 3}, 3), ({"minReplicas": 5, "replicas": None}, 5)], ids=["most", "least"]
)
async def test_outside_new_bounds_the_autoscaler_moves_the_number_and_we_do_not(
    stage: Stage, bounds: Obj, end: int
) -> None:
    await stage.create(replicas=2)
    await stage.autoscaler_wants(4)
    await stage.tape.cut()
    await stage.edit(zone=bounds)
    await stage.settle()
    assert await stage.tape.cut() == [4]
    await stage.autoscaler_wants(4)
    await stage.settle()
    assert await stage.tape.cut() == [4, end]


async def test_switched_on_beyond_its_bounds_a_number_stays_until_the_autoscaler_corrects_it(stage: Stage) -> None:
    await stage.create(replicas=8, autoscaling=None)
    await stage.edit(autoscaling=SCALING, zone={"replicas": None})
    await stage.settle()
    assert await stage.tape.cut() == [1, 8]
    await stage.autoscaler_wants(8)
    await stage.settle()
    assert await stage.tape.cut() == [8, 6]


@pytest.mark.parametrize("start", [None, 3])
async def test_disabled_and_active_again_it_ends_all_groups_and_comes_back_at_its_start(
    stage: Stage, start: int | None
) -> None:
    await stage.create(replicas=start)
    await stage.autoscaler_wants(5)
    await stage.tape.cut()
    await stage.edit(zone={"state": "Disabled"})
    await stage.settle()
    assert await stage.tape.cut() == [5, 0]
    assert await stage.autoscaler() is None
    assert (await stage.zone())["weightReason"] == "Disabled"
    await stage.scale(2, "kubectl")
    await stage.settle()
    assert await stage.tape.cut() == [0, 2, 0], "whoever scales a disabled zone, it stays disabled"
    await stage.edit(zone={"state": "Active"})
    await stage.settle()
    assert await stage.tape.cut() == [0, start or 1]
    await stage.autoscaler_wants(4)
    await stage.settle()
    assert await stage.tape.cut() == [start or 1, 4]


async def test_a_fixed_zone_that_was_disabled_comes_back_with_the_specs_number(stage: Stage) -> None:
    await stage.create(replicas=3, autoscaling=None)
    await stage.edit(zone={"state": "Disabled"})
    await stage.settle()
    await stage.edit(zone={"state": "Active"})
    await stage.settle()
    assert await stage.tape.cut() == [1, 3, 0, 3]


async def test_disabled_while_autoscaling_is_switched_off_and_on_it_stays_without_groups(stage: Stage) -> None:
    await stage.create(replicas=2)
    await stage.edit(zone={"state": "Disabled"})
    await stage.settle()
    await stage.tape.cut()
    live = await stage.hands.api.get(INFERENCE_CLUSTER, stage.namespace, "llm")
    zones = [zone | {"replicas": 2} for zone in live["spec"]["zones"]]
    await stage.edit(autoscaling=None, zones=zones)
    await stage.settle()
    await stage.edit(autoscaling=SCALING)
    await stage.settle()
    assert await stage.tape.cut() == [0]


async def test_traffic_leaves_before_the_groups_of_a_disabled_zone_end(stage: Stage) -> None:
    gateway = {"parentRefs": [{"name": "edge", "namespace": "infra"}]}
    await stage.create(replicas=3, gateway=gateway)
    route = (await stage.hands.api.list(HTTP_ROUTE, stage.namespace))[0]["metadata"]["name"]

    async def taken_up() -> None:
        live = await stage.hands.api.get(HTTP_ROUTE, stage.namespace, route)
        generation = live["metadata"]["generation"]
        told = {"status": "True", "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        says = [told | {"type": kind, "observedGeneration": generation} for kind in ("Accepted", "ResolvedRefs")]
        parent = {"parentRef": gateway["parentRefs"][0], "controllerName": "example.com/gateway", "conditions": says}
        await stage.hands.merge(HTTP_ROUTE, stage.namespace, route, {"status": {"parents": [parent]}}, "status")

    await taken_up()
    await stage.settle()
    await stage.edit(zone={"state": "Disabled"})
    await stage.settle()
    assert await stage.tape.cut() == [1, 3], "the route says 0, and the gateway has not heard of it"
    weights = (await stage.hands.api.get(HTTP_ROUTE, stage.namespace, route))["spec"]["rules"][0]["backendRefs"]
    assert [ref["weight"] for ref in weights] == [60, 0]
    assert (await condition(stage.hands, stage.namespace, "Progressing"))["reason"] == "Draining"
    await taken_up()
    await stage.settle()
    assert await stage.tape.cut() == [3, 0]


@pytest.mark.parametrize(("said", "want"), [(4, 4), (1, 1), (None, 3)], ids=["four", "one", "nothing yet"])
async def test_deleted_while_autoscaled_it_comes_back_as_the_autoscaler_last_said(
    stage: Stage, said: int | None, want: int
) -> None:
    await stage.create(replicas=3)
    if said is not None:
        await stage.autoscaler_wants(said)
        await stage.settle()
    before = (await stage.tape.cut())[-1]
    await stage.hands.delete(LEADER_WORKER_SET, stage.namespace, NAME)
    await stage.settle()
    assert await stage.tape.cut() == [before, None, *dict.fromkeys((1, want))]


async def test_a_zone_that_is_removed_and_added_again_starts_anew(stage: Stage) -> None:
    await stage.create(replicas=2)
    await stage.autoscaler_wants(5)
    await stage.tape.cut()
    zones = (await stage.hands.api.get(INFERENCE_CLUSTER, stage.namespace, "llm"))["spec"]["zones"]
    await stage.edit(zones=zones[:1])
    await stage.settle()
    assert await stage.autoscaler() is None
    await stage.edit(zones=zones)
    await stage.settle()
    assert await stage.tape.cut() == [5, None, 1, 2]
    await stage.autoscaler_wants(4)
    await stage.settle()
    assert await stage.tape.cut() == [2, 4]


async def test_an_autoscaler_deleted_by_hand_is_made_again_and_the_number_stays(stage: Stage) -> None:
    await stage.create(replicas=2)
    await stage.autoscaler_wants(4)
    await stage.settle()
    await stage.tape.cut()
    await stage.hands.delete(HORIZONTAL_POD_AUTOSCALER, stage.namespace, NAME)
    await stage.settle()
    assert await stage.autoscaler() is not None
    assert await stage.tape.cut() == [4]


async def test_scaled_to_nothing_by_hand_it_starts_again_because_no_autoscaler_would(stage: Stage) -> None:
    await stage.create(replicas=2)
    await stage.scale(0, "kubectl")
    await stage.autoscaler_wants(3)
    await stage.settle()
    assert await stage.tape.cut() == [1, 2, 0, 2]


async def test_a_number_that_came_between_our_look_and_our_write_is_kept(stage: Stage) -> None:
    await stage.create(replicas=2)
    await stage.scale(0, "kubectl")
    await stage.tape.cut()
    api, reconcile = await stage.operator()

    async def someone_is_faster(kind: Kind, obj: Obj) -> None:
        if kind == LEADER_WORKER_SET and obj["spec"].keys() == {"replicas"}:
            await stage.scale(5)

    api.before = someone_is_faster
    await reconcile()
    await stage.settle()
    assert await stage.tape.cut() == [0, 5]
    assert (await condition(stage.hands, stage.namespace, "Accepted"))["status"] == "True"


SWITCHES: dict[str, tuple[Obj, int, int]] = {
    "on": ({"autoscaling": SCALING, "zone": {"replicas": None}}, 4, 4),
    "off": ({"autoscaling": None, "zone": {"replicas": 3}}, 4, 3),
    "off at the same number": ({"autoscaling": None, "zone": {"replicas": 4}}, 4, 4),
    "disabled": ({"zone": {"state": "Disabled"}}, 4, 0),
    "with a new template": ({"engine": {"image": "vllm/vllm-openai:other"}}, 4, 4),
}
"""The change, the number before it and the number after it."""


@pytest.mark.parametrize("switch", SWITCHES)
async def test_an_operator_that_ends_after_any_write_of_a_switch_leaves_it_to_the_next(
    stage: Stage, switch: str
) -> None:
    change, before, after = SWITCHES[switch]
    await stage.create(replicas=before if switch == "on" else 2, autoscaling=None if switch == "on" else SCALING)
    if switch != "on":
        await stage.autoscaler_wants(before)
    await stage.tape.cut()
    await stage.edit(**change)
    for dies_after in range(20):
        if await _lived(stage, dies_after):
            break
    await stage.settle()
    assert await stage.tape.cut() == list(dict.fromkeys((before, after)))


@pytest.mark.parametrize("dies_after", range(8))
async def test_an_operator_that_ends_while_it_makes_a_set_again_leaves_it_to_the_next(
    stage: Stage, dies_after: int
) -> None:
    await stage.create(replicas=2)
    await stage.autoscaler_wants(4)
    await stage.settle()
    await stage.tape.cut()
    await stage.hands.delete(LEADER_WORKER_SET, stage.namespace, NAME)
    await _lived(stage, dies_after)
    await stage.settle()
    assert await stage.tape.cut() == [4, None, 1, 4]


async def _lived(stage: Stage, dies_after: int) -> bool:
    """Whether an operator that ends after so many writes got through."""
    api, reconcile = await stage.operator()
    api.dies_after = dies_after
    try:
        await reconcile()
    except (Killed, BaseExceptionGroup):
        return False
    return True
