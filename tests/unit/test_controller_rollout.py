"""A new template goes from zone to zone, and each reconcile is that of an operator that has just started."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.controller_samples import pod
from tests.unit.reconcile_world import GATEWAY_OBJECT, World
from trireme_operator.api.labels import ANNOTATION_REVISION, ANNOTATION_ROLLING_OUT
from trireme_operator.kube import CONTROLLER_REVISION, GATEWAY, LEADER_WORKER_SET, POD, Obj

ZONES = ("zone-a", "zone-b", "zone-c")
NEXT = {"image": "vllm/vllm-openai:next"}


class Rolling(World):
    """Three zones with two groups each; LeaderWorkerSet, the gateway and time move on when a test says so."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(zones=[{"name": name, "replicas": 2, "weight": 50} for name in ZONES], **spec)

    async def begin(self) -> None:
        await self.reconcile()
        self.kube.add(GATEWAY, GATEWAY_OBJECT)
        for zone in ZONES:
            self.ready(zone)
        await self.settle()
        assert self.shares() == {"zone-a": 50, "zone-b": 50, "zone-c": 50}

    def set_of(self, zone: str) -> Obj:
        return self.kube.one(LEADER_WORKER_SET, f"llm-{zone}")

    def ready(self, zone: str, *, groups: int = 2) -> None:
        """Of the zone's two groups so many are ready; LeaderWorkerSet has replaced them all."""
        for index in range(2):
            for worker in range(2):
                self.kube.add(POD, pod(f"llm-{zone}", index, worker, ready=index < groups))
        live = self.set_of(zone)
        live["status"] = {"observedGeneration": live["metadata"]["generation"]}

    def shares(self) -> dict[str, int]:
        return {name.removeprefix("llm-").removesuffix("-http"): value for name, value in self.weights().items()}

    def revisions(self) -> list[str]:
        """The place of each zone's revision in the order in which they came."""
        numbers = {name: self.kube.one(CONTROLLER_REVISION, name)["revision"] for name in self.names_of_revisions()}
        return [str(numbers[self.set_of(zone)["metadata"]["annotations"][ANNOTATION_REVISION]]) for zone in ZONES]

    def names_of_revisions(self) -> set[str]:
        return self.kube.names(CONTROLLER_REVISION)

    def mark(self, zone: str) -> str | None:
        found = self.set_of(zone)["metadata"]["annotations"].get(ANNOTATION_ROLLING_OUT)
        return None if found is None else str(found)

    async def settle(self, *, seconds: int = 240) -> None:
        """Launchers count nothing, and time passes."""
        await self.pass_by(seconds)

    def message(self) -> str:
        return str(self.condition("Progressing")["message"])


@pytest.fixture
async def rolling() -> Rolling:
    world = Rolling()
    await world.begin()
    return world


async def test_one_zone_after_the_other_and_nothing_is_left_behind(rolling: Rolling) -> None:
    rolling.spec["engine"] = NEXT
    await rolling.reconcile()
    assert rolling.condition("Progressing")["reason"] == "RollingOut"
    assert rolling.message() == "traffic moves away from zone zone-a"
    assert rolling.revisions() == ["1", "1", "1"]
    want = []
    for zone in ZONES:
        await rolling.settle()
        want.append("2")
        assert rolling.revisions() == [*want, "1", "1", "1"][:3]
        assert rolling.shares() == {each: 0 if each == zone else 50 for each in ZONES}
        assert rolling.mark(zone) is not None
        assert f"groups of zone {zone} are being replaced" in rolling.message()
        rolling.ready(zone, groups=1)
        await rolling.settle()
        assert rolling.shares()[zone] == 0, "all its groups have to be ready"
        rolling.ready(zone)
    await rolling.settle()
    assert rolling.shares() == {"zone-a": 50, "zone-b": 50, "zone-c": 50}
    assert rolling.condition("Progressing")["reason"] == "Stable"
    assert [rolling.mark(zone) for zone in ZONES] == [None, None, None]
    assert await rolling.writes() == []


async def test_what_runs_is_waited_for(rolling: Rolling) -> None:
    rolling.spec["engine"] = NEXT
    for index, requests in ((0, 2), (1, 1)):
        rolling.hear(f"llm-zone-a-{index}", "Ready", requests=requests)
    await rolling.settle()
    assert rolling.shares()["zone-a"] == 0
    assert rolling.message() == "3 requests in zone zone-a are waited for before its groups are replaced"
    wait = await rolling.reconcile()
    assert wait is not None
    assert wait <= 4, "launchers count without telling"
    for index in range(2):
        rolling.hear(f"llm-zone-a-{index}", "Ready", requests=0)
    await rolling.reconcile()
    assert rolling.revisions() == ["2", "1", "1"]


async def test_a_template_that_never_gets_ready_stops_in_its_zone_and_its_revert_heals_it(rolling: Rolling) -> None:
    rolling.spec["engine"] = NEXT
    await rolling.settle()
    rolling.ready("zone-a", groups=0)
    await rolling.settle(seconds=1800)
    assert rolling.revisions() == ["2", "1", "1"]
    assert rolling.shares() == {"zone-a": 0, "zone-b": 50, "zone-c": 50}
    stopped = rolling.condition("Progressing")
    assert (stopped["status"], stopped["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert "zone zone-a is not whole 1800 s after it got the new template" in stopped["message"]
    assert rolling.condition("Ready")["status"] == "False"
    assert rolling.condition("Available")["status"] == "True"
    del rolling.spec["engine"]
    await rolling.reconcile()
    assert rolling.revisions() == ["3", "3", "3"], "the first one, wanted again, and no zone else was touched"
    rolling.ready("zone-a")
    await rolling.settle()
    assert rolling.shares()["zone-a"] == 50
    assert rolling.condition("Ready")["status"] in {"True", "False"}
    assert rolling.condition("Progressing")["reason"] == "Stable"


async def test_no_zone_goes_while_another_one_is_broken(rolling: Rolling) -> None:
    rolling.spec["engine"] = NEXT
    await rolling.settle()
    rolling.ready("zone-a")
    for zone in ("zone-b", "zone-c"):
        rolling.ready(zone, groups=1)
    await rolling.settle()
    assert rolling.revisions() == ["2", "1", "1"], "both serve still, so neither may go"
    assert "zone zone-b waits until zone zone-c is whole" in rolling.message()
    rolling.ready("zone-b")
    await rolling.settle()
    assert rolling.revisions() == ["2", "1", "2"], "the one that is broken goes first"


async def test_a_pause_keeps_zones_from_the_template_and_says_so() -> None:
    world = Rolling(rollout={"paused": True})
    await world.begin()
    world.spec["engine"] = NEXT
    await world.settle()
    assert world.revisions() == ["1", "1", "1"]
    paused = world.condition("Progressing")
    assert (paused["status"], paused["reason"]) == ("False", "RolloutPaused")
    world.spec["rollout"] = {"paused": False}
    await world.settle()
    assert world.revisions() == ["2", "1", "1"]


async def test_a_zone_whose_own_revision_was_lost_waits_for_its_turn(rolling: Rolling) -> None:
    first = min(rolling.names_of_revisions())
    rolling.spec["engine"] = NEXT
    await rolling.reconcile()
    stored = rolling.kube.objects.pop((CONTROLLER_REVISION, "genai", first))
    before = rolling.set_of("zone-c")["spec"]["leaderWorkerTemplate"]
    await rolling.settle()
    assert stored["data"]["template"] is not None
    assert rolling.set_of("zone-c")["spec"]["leaderWorkerTemplate"] == before
    assert "2" in {
        str(rolling.kube.one(CONTROLLER_REVISION, name)["revision"]) for name in rolling.names_of_revisions()
    }


async def test_a_zone_made_anew_in_the_middle_gets_what_the_others_run(rolling: Rolling) -> None:
    rolling.spec["engine"] = NEXT
    await rolling.reconcile()
    rolling.kube.objects.pop((LEADER_WORKER_SET, "genai", "llm-zone-c"))
    await rolling.reconcile()
    assert rolling.revisions() == ["1", "1", "1"]
