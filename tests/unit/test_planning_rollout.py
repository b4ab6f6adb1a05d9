"""Zone by zone: which zone gets the new template now, whatever happens in between."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.resources import cluster, zones
from trireme_operator.planning.rollout import (
    RolloutOrder,
    RolloutPhase,
    RolloutStep,
    ZoneRun,
    rollout_order,
    rollout_step,
)

OLD, NEW = "llm-old", "llm-new"
NAMES = ("a", "b", "c")


def zone(name: str | None = "a", **fields: Any) -> ZoneRun:
    """A zone that is whole with the old template, has two groups and its share of the traffic."""
    whole = ZoneRun(name, OLD, groups=2, needed=2, ready=2, weight=50, share=50)
    return replace(whole, **fields)


def step(*found: ZoneRun, now: int = 1000, **order: Any) -> RolloutStep:
    return rollout_step(found, RolloutOrder(**order), wanted=NEW, now=now)


def test_the_defaults_are_those_of_the_reference() -> None:
    assert rollout_order(cluster()) == RolloutOrder(by_zone=True, paused=False, deadline=1800)
    asked = {"strategy": "AllZones", "paused": True, "progressDeadlineSeconds": 60}
    assert rollout_order(cluster(zones=zones("a"), rollout=asked)) == RolloutOrder(
        by_zone=False, paused=True, deadline=60
    )


NEWER = {"revision": NEW}
MARKED = {"revision": NEW, "since": 900}


@pytest.mark.parametrize(
    ("found", "phase", "takes", "out"),
    [
        pytest.param([zone("a", revision=None, ready=0)], "Done", "a", "", id="nothing is there yet"),
        pytest.param([zone("a", **NEWER), zone("b", **NEWER)], "Done", "ab", "", id="everything is done"),
        pytest.param([zone("a"), zone("b")], "Moving", "", "a", id="the first zone's traffic moves"),
        pytest.param([zone("a", share=0), zone("b")], "Moving", "", "a", id="until every gateway has taken that up"),
        pytest.param(
            [zone("a", share=0, unreached=True, running=2), zone("b")], "Moving", "", "a", id="requests still run"
        ),
        pytest.param([zone("a", share=0, unreached=True, running=0), zone("b")], "Replacing", "a", "a", id="none runs"),
        pytest.param(
            [zone("a", share=0, unreached=True), zone("b")], "Replacing", "a", "a", id="nobody says what runs"
        ),
        pytest.param([zone("a"), zone("b", share=0)], "Moving", "", "b", id="a zone that was being moved goes on"),
        pytest.param([zone("a"), zone("b", ready=0, share=0)], "Replacing", "b", "", id="a zone that is out is first"),
        pytest.param([zone("a"), zone("b", ready=1)], "Moving", "", "b", id="then one that is broken"),
        pytest.param(
            [zone("a", ready=1), zone("b", ready=1)], "Waiting", "", "", id="none goes while another is broken"
        ),
        pytest.param([zone("a"), zone("b", leaving=True)], "Waiting", "", "", id="nor while one is being drained"),
        pytest.param(
            [zone("a"), zone("b", leaving=True, groups=0, ready=0)], "Replacing", "a", "", id="drained: in place"
        ),
        pytest.param(
            [zone("a", **MARKED, ready=1, updating=True, share=0), zone("b")],
            "Replacing",
            "a",
            "a",
            id="out till done",
        ),
        pytest.param(
            [zone("a", **MARKED, ready=1, share=0), zone("b", ready=1)], "Replacing", "a", "", id="back when needed"
        ),
        pytest.param([zone("a", **MARKED, share=10), zone("b")], "Returning", "a", "", id="its share comes back"),
        pytest.param([zone("a", **NEWER), zone("b")], "Moving", "a", "b", id="then the next"),
        pytest.param(
            [zone("a", **NEWER, ready=1), zone("b")], "Waiting", "a", "", id="not while the one before is broken"
        ),
        pytest.param([zone("a", share=None), zone("b", share=None)], "Replacing", "a", "", id="without a route"),
        pytest.param([zone("a"), zone("b", weight=0, share=0)], "Replacing", "b", "", id="no traffic by the spec"),
        pytest.param([zone("a", ready=0), zone("b", ready=0)], "Replacing", "ab", "", id="nothing serves: all at once"),
        pytest.param(
            [zone("a", **MARKED, ready=0), zone("b", ready=0)], "Replacing", "a", "", id="unless one has it already"
        ),
        pytest.param([zone("a"), zone("b", revision=None, ready=0)], "Waiting", "", "", id="a new zone is made first"),
        pytest.param(
            [zone("a", **NEWER), zone("b"), zone("c", revision=None, groups=0, ready=0)],
            "Moving",
            "ac",
            "b",
            id="a zone without groups follows the one that is proven",
        ),
        pytest.param([zone(None, share=100, weight=100)], "Replacing", None, "", id="a pool: at once"),
    ],
)
def test_next_step(found: list[ZoneRun], phase: str, takes: str | None, out: str) -> None:
    want = frozenset({None}) if takes is None else frozenset(takes)
    said = step(*found)
    assert (said.phase, said.takes, said.out) == (RolloutPhase(phase), want, frozenset(out))


def test_all_zones_at_once_where_that_is_asked_for() -> None:
    said = step(zone("a"), zone("b"), by_zone=False)
    assert (said.takes, said.out, said.phase) == (frozenset("ab"), frozenset(), RolloutPhase.REPLACING)


def test_a_pause_keeps_what_has_begun_and_begins_nothing() -> None:
    said = step(zone("a"), zone("b"), paused=True)
    assert (said.phase, said.takes, said.out) == (RolloutPhase.PAUSED, frozenset(), frozenset())
    assert said.message == "rollout.paused is true: zone a, zone b keep the template that they have"
    begun = zone("a", **MARKED, ready=0, share=0)
    assert step(begun, zone("b"), paused=True).takes == frozenset("a")
    assert step(zone("a", **NEWER), zone("b", **NEWER), paused=True).phase is RolloutPhase.DONE
    assert step(zone("a", revision=None, ready=0), paused=True).takes == frozenset("a"), "a new resource starts"


@pytest.mark.parametrize("cause", ["group 0: image not found", ""])
def test_a_zone_that_takes_too_long_stops_the_rollout_and_is_named(cause: str) -> None:
    broken = zone("a", **MARKED, ready=0, share=0, cause=cause)
    assert step(broken, zone("b"), deadline=200).due == 100
    said = step(broken, zone("b"), deadline=100)
    assert (said.phase, said.zone, said.takes) == (RolloutPhase.STOPPED, "a", frozenset("a"))
    assert "zone a is not whole 100 s after it got the new template" in said.message
    assert (cause or "0 of 2 groups are ready") in said.message
    late = step(replace(broken, ready=2, share=50), zone("b"), deadline=100)
    assert late.phase is RolloutPhase.MOVING, "it got ready after all"


def test_what_fails_long_after_a_rollout_is_none_of_its_business() -> None:
    said = step(zone("a", **NEWER, ready=1), zone("b", **NEWER), now=10**9)
    assert (said.phase, said.out) == (RolloutPhase.DONE, frozenset())


def test_a_revert_begins_with_the_zone_that_has_the_bad_template() -> None:
    found = [zone("a", **NEWER), zone("b", revision="llm-bad", since=900, ready=0, share=0), zone("c", **NEWER)]
    assert step(*found).takes == frozenset("abc")


@dataclass
class Live:
    """A zone of the simulated cluster. `groups` are the revisions of its groups, `ready` which of them are."""

    groups: list[str]
    ready: list[bool]
    revision: str = OLD
    since: int | None = None
    share: int = 50
    running: int = 0


@dataclass
class Cluster:
    """Zones, a route that follows the operator with delay, and groups that load for a while."""

    chance: random.Random
    bad: frozenset[str] = frozenset()
    wanted: str = NEW
    now: int = 0
    zones: dict[str, Live] = field(default_factory=lambda: {name: Live([OLD, OLD], [True, True]) for name in NAMES})

    def seen(self) -> list[ZoneRun]:
        return [
            ZoneRun(
                name,
                live.revision,
                groups=len(live.groups),
                needed=len(live.groups),
                ready=sum(live.ready),
                updating=any(group != live.revision for group in live.groups),
                since=live.since,
                weight=50,
                share=live.share,
                unreached=live.share == 0,
                running=live.running,
            )
            for name, live in self.zones.items()
        ]

    def operate(self) -> RolloutStep:
        """One run of an operator that remembers nothing."""
        before = {zone.name: zone for zone in self.seen()}
        said = rollout_step(self.seen(), RolloutOrder(deadline=600), wanted=self.wanted, now=self.now)
        for name, live in self.zones.items():
            if name in said.takes and live.revision != self.wanted:
                self.judge(name, before)
                live.revision, live.since = self.wanted, self.now
            elif name in said.proven:
                live.since = None
            self.steer(name, live, out=name in said.out)
        assert len(said.out) <= 1
        return said

    def judge(self, name: str, before: dict[str | None, ZoneRun]) -> None:
        """What must hold whenever a zone is given a template."""
        if not any(zone.ready for zone in before.values()):
            return
        others = [zone for zone in before.values() if zone.name != name]
        assert not any(zone.revision == self.wanted and not zone.whole and zone.since is not None for zone in others)
        if before[name].ready:
            assert all(zone.whole and zone.returned for zone in others), "a zone went while another was not whole"
            assert before[name].share == 0, "its traffic had not moved"
            assert before[name].running == 0, "requests ran"

    def steer(self, name: str, live: Live, *, out: bool) -> None:
        """The route: in steps, and never so that nobody is left."""
        elsewhere = any(sum(other.ready) and other.share for key, other in self.zones.items() if key != name)
        target = 0 if elsewhere and (out or not any(live.ready)) else 50
        live.share = max(0, live.share - 25) if target == 0 else min(50, live.share + 25)
        if target == 0 and not any(live.ready):
            live.share = 0

    def live_on(self) -> None:
        """A moment passes: requests begin and end, groups are replaced one at a time and load."""
        self.now += self.chance.randrange(1, 60)
        for live in self.zones.values():
            live.running = self.chance.randrange(3) if live.share else max(0, live.running - 1)
            for index, group in enumerate(live.groups):
                if not live.ready[index] and live.groups[index] not in self.bad and self.chance.random() < 0.5:
                    live.ready[index] = group not in self.bad
            older = [index for index, group in enumerate(live.groups) if group != live.revision]
            newer_ready = all(ok for ok, group in zip(live.ready, live.groups, strict=True) if group == live.revision)
            if older and newer_ready:
                live.groups[older[-1]], live.ready[older[-1]] = live.revision, False


def run(world: Cluster, moments: int) -> RolloutStep:
    said = world.operate()
    for _ in range(moments):
        world.live_on()
        said = world.operate()
    return said


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_every_zone_gets_a_good_template_one_after_the_other(seed: int) -> None:
    world = Cluster(random.Random(seed))  # noqa: S311 - no secret
    for _ in range(400):
        out = [name for name, live in world.zones.items() if not all(live.ready) or live.share == 0]
        assert len(out) <= 1, out
        if world.operate().phase is RolloutPhase.DONE:
            break
        world.live_on()
    assert {live.revision for live in world.zones.values()} == {NEW}
    assert all(group == NEW for live in world.zones.values() for group in live.groups)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_bad_template_stops_in_the_first_zone_and_its_revert_heals_it(seed: int) -> None:
    world = Cluster(random.Random(seed), bad=frozenset({NEW}))  # noqa: S311
    said = run(world, 200)
    assert (said.phase, said.zone) == (RolloutPhase.STOPPED, "a")
    assert [live.revision for live in world.zones.values()] == [NEW, OLD, OLD]
    assert all(all(live.ready) and live.share == 50 for live in list(world.zones.values())[1:])
    world.wanted = OLD
    run(world, 200)
    assert all(live.revision == OLD and all(live.ready) and live.share == 50 for live in world.zones.values())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_fails_and_whatever_is_wished_no_zone_goes_while_another_is_broken(seed: int) -> None:
    """`Cluster.judge` looks at every step; in the end, in peace, the last wish is everywhere."""
    chance = random.Random(seed)  # noqa: S311
    world = Cluster(chance)
    for moment in range(150):
        world.operate()
        world.live_on()
        if chance.random() < 0.1:
            live = world.zones[chance.choice(NAMES)]
            live.ready[chance.randrange(2)] = False
        if chance.random() < 0.03:
            world.wanted = f"llm-{moment}"
    run(world, 400)
    assert {live.revision for live in world.zones.values()} == {world.wanted}
