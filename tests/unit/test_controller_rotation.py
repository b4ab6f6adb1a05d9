"""A silent leader among others that are heard: out of the Services, and back."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.unit.reconcile_world import World
from trireme_operator.collector import Listening
from trireme_operator.kube import LEADER_WORKER_SET, POD

HEARD = Listening(asked=100.0, heard=0.5, steady=100.0, silence=None)


def silence(seconds: float) -> Listening:
    return Listening(asked=100.0, heard=seconds, steady=None, silence=seconds)


class Zone(World):
    """Zone b has three groups, each heard unless a test says otherwise."""

    def __init__(self) -> None:
        zones = [{"name": "zone-a", "replicas": 1, "weight": 60}, {"name": "zone-b", "replicas": 3, "weight": 40}]
        super().__init__(zones=zones)
        self.leaders: dict[str, Listening | None] = {}

    def listen(self, uids: Iterable[str]) -> Listening | None:
        wanted = set(uids)
        names = [
            key[2] for key, obj in self.kube.objects.items() if key[0] == POD and obj["metadata"].get("uid") in wanted
        ]
        found = [each for name in names if (each := self.leaders.get(name, HEARD)) is not None]
        return next((each for each in found if each.silence is None), found[0] if found else None)

    def rotation(self, name: str = "llm-zone-b-1") -> str | None:
        return (self.kube.one(POD, name)["metadata"].get("labels") or {}).get("trireme.dev/rotation")

    def zone_b(self) -> tuple[int, int, str]:
        zone = self.status["zones"][1]
        return zone["readyGroups"], zone["weight"], zone["weightReason"]


@pytest.fixture
async def world() -> Zone:
    found = Zone()
    await found.reconcile()
    found.everything_ready()
    found.group("zone-b", 2)
    for name in ("llm-zone-a-0", "llm-zone-b-0", "llm-zone-b-1", "llm-zone-b-2"):
        found.kube.one(POD, name)["metadata"]["labels"]["trireme.dev/rotation"] = "in"
    found.accept_route()
    await found.reconcile()
    return found


async def test_a_silent_leader_is_taken_out_and_its_zone_weighs_less(world: Zone) -> None:
    world.leaders["llm-zone-b-1"] = silence(2.0)
    again = await world.reconcile()
    assert again == pytest.approx(1.05)
    assert world.rotation() == "in"
    world.leaders["llm-zone-b-1"] = silence(3.0)
    await world.reconcile()
    assert world.rotation() == "out"
    await world.reconcile()
    assert world.weights()["llm-zone-b-http"] == 26
    assert await world.writes() == []


async def test_it_is_back_when_it_was_heard_for_the_dwell_time(world: Zone) -> None:
    world.leaders["llm-zone-b-1"] = silence(3.0)
    await world.reconcile()
    world.leaders["llm-zone-b-1"] = Listening(asked=100.0, heard=0.1, steady=4.0, silence=None)
    again = await world.reconcile()
    assert world.rotation() == "out"
    assert again == pytest.approx(6.05)
    world.leaders["llm-zone-b-1"] = HEARD
    await world.reconcile()
    assert world.rotation() == "in"
    await world.reconcile()
    assert world.weights()["llm-zone-b-http"] == 40
    assert await world.writes() == []


async def test_nobody_is_taken_out_when_all_of_the_zone_are_silent(world: Zone) -> None:
    for index in range(3):
        world.leaders[f"llm-zone-b-{index}"] = silence(9.0)
    await world.reconcile()
    assert {world.rotation(f"llm-zone-b-{index}") for index in range(3)} == {"in"}
    assert world.zone_b() == (3, 0, "Silent"), "that is what weights are for"


async def test_two_that_are_cut_off_together_are_no_witnesses_for_each_other(world: Zone) -> None:
    world.leaders = {"llm-zone-b-0": silence(3.9), "llm-zone-b-1": silence(3.1), "llm-zone-b-2": None}
    await world.reconcile()
    assert {world.rotation(f"llm-zone-b-{index}") for index in range(3)} == {"in"}


async def test_one_that_was_never_heard_is_left_alone(world: Zone) -> None:
    world.leaders["llm-zone-b-1"] = Listening(asked=50.0, heard=None, steady=None, silence=50.0)
    await world.reconcile()
    assert world.rotation() == "in"


async def test_all_pods_of_the_group_that_serve_are_taken_out(world: Zone) -> None:
    world.kube.one(POD, "llm-zone-b-1-1")["metadata"]["labels"]["trireme.dev/rotation"] = "in"
    world.leaders["llm-zone-b-1"] = silence(3.0)
    await world.reconcile()
    assert (world.rotation(), world.rotation("llm-zone-b-1-1"), world.rotation("llm-zone-b-0-1")) == (
        "out",
        "out",
        None,
    )
    assert "llm-zone-b" in world.kube.names(LEADER_WORKER_SET)
