"""From pods, launchers and the route to weights, by a reconcile."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.controller_samples import pod
from tests.unit.reconcile_world import World
from trireme_operator.api import WeightReason
from trireme_operator.collector import Listening
from trireme_operator.controller.groups import Group, groups_of
from trireme_operator.controller.traffic import LOOK_SECONDS, Ears, facts
from trireme_operator.kube import BACKEND_TRAFFIC_POLICY, HTTP_ROUTE, LEADER_WORKER_SET, POD, Obj
from trireme_operator.planning import LiveTraffic, Mark, Pace, Proof, Voice, Way, ZoneFacts

NOW = 1_767_225_600
"""2026-01-01T00:00:00Z."""
HEARD = Listening(asked=100.0, heard=0.5, steady=100.0, silence=None)


def ready_at(text: str | None, *, ready: str = "True", initialized: str = "2025-12-31T23:00:00Z") -> list[Obj]:
    moment = {} if text is None else {"lastTransitionTime": text}
    begun = {"type": "Initialized", "status": "True", "lastTransitionTime": initialized}
    return [{"type": "Ready", "status": ready, **moment}, begun]


def groups(*conditions: list[Obj], zone: str = "zone-a") -> tuple[Group, ...]:
    """A group of one pod for each list of conditions."""
    pods = []
    for index, each in enumerate(conditions):
        found = pod(f"llm-{zone}", index, 0, conditions=each)
        found["metadata"]["annotations"] = {"leaderworkerset.sigs.k8s.io/size": "1"}
        found["metadata"]["uid"] = f"{zone}-{index}"
        pods.append(found)
    return groups_of(f"llm-{zone}", pods, replicas=len(conditions), size=1, now=NOW)


def zone_facts(found: tuple[Group, ...], listening: Listening | None = HEARD, **others: Listening | None) -> ZoneFacts:
    """Of a zone `a`, beside others of which only this is heard."""
    heard: dict[str, Listening | None] = {"a": listening, **others}

    def listen(uids: Iterable[str]) -> Listening | None:
        return heard[next(iter(uids))[5:6]]

    beside: dict[str | None, tuple[Group, ...]] = {name: groups(ready_at(None), zone=f"zone-{name}") for name in others}
    return facts({"a": found, **beside}, Pace(), now=NOW, ears=Ears(listen), live=None)["a"]


def test_a_group_settles_when_it_was_ready_for_the_dwell_time() -> None:
    found = zone_facts(groups(ready_at("2025-12-31T23:59:50Z"), ready_at("2025-12-31T23:59:53Z")))
    assert (found.ready, found.settled, found.settles) == (2, 1, 3)


def test_a_group_settles_only_when_its_zone_was_heard_as_long() -> None:
    young = Listening(asked=100.0, heard=0.5, steady=4.0, silence=None)
    found = zone_facts(groups(ready_at("2025-12-31T23:00:00Z")), young)
    assert (found.settled, found.settles) == (0, 6.0)


def test_launchers_that_can_not_be_reached_at_all_keep_nobody_out() -> None:
    never = Listening(asked=11.0, heard=None, steady=None, silence=11.0)
    found = zone_facts(groups(ready_at("2025-12-31T23:00:00Z")), never, b=never)
    assert (found.settled, found.voice) == (1, Voice.UNKNOWN)


@pytest.mark.parametrize(
    ("conditions", "was"),
    [
        (ready_at("2025-12-31T23:30:00Z"), True),
        (ready_at("2025-12-31T23:30:00Z", ready="False"), True),
        (ready_at("2025-12-31T22:59:00Z", ready="False"), False),
        (ready_at(None, ready="False"), False),
    ],
)
def test_a_pod_that_was_ready_is_told_from_one_that_never_was(conditions: list[Obj], was: bool) -> None:
    assert zone_facts(groups(conditions)).was_ready is was


def silence(seconds: float, *, heard: bool = True) -> Listening:
    return Listening(asked=100.0, heard=seconds if heard else None, steady=None, silence=seconds)


ASKED = Listening(asked=0.1, heard=None, steady=None, silence=None)
BACK = Listening(asked=100.0, heard=0.1, steady=2.9, silence=None)


@pytest.mark.parametrize(
    ("listening", "other", "voice", "judged"),
    [
        pytest.param(None, HEARD, Voice.UNKNOWN, None, id="never asked"),
        pytest.param(HEARD, silence(9), Voice.HEARD, None, id="heard"),
        pytest.param(silence(2), HEARD, Voice.HEARD, 1.0, id="not silent for long enough"),
        pytest.param(silence(3), HEARD, Voice.SILENT, None, id="silent, and another zone is heard"),
        pytest.param(silence(3), silence(2.5), Voice.CUT_OFF, LOOK_SECONDS, id="the other one is silent for as long"),
        pytest.param(silence(60), silence(59.5), Voice.CUT_OFF, None, id="for long: only news count"),
        pytest.param(silence(9), BACK, Voice.CUT_OFF, LOOK_SECONDS, id="the other one was silent as well a moment ago"),
        pytest.param(silence(3), None, Voice.CUT_OFF, LOOK_SECONDS, id="nobody else is asked"),
        pytest.param(silence(9, heard=False), HEARD, Voice.SILENT, None, id="never heard, and others are"),
        pytest.param(silence(2, heard=False), HEARD, Voice.UNKNOWN, 1.0, id="never heard, for a moment"),
        pytest.param(ASKED, HEARD, Voice.UNKNOWN, 3.0, id="asked just now"),
        pytest.param(silence(4, heard=False), BACK, Voice.UNKNOWN, LOOK_SECONDS, id="never heard, nor others for long"),
        pytest.param(silence(99, heard=False), silence(99, heard=False), Voice.UNKNOWN, None, id="nobody ever heard"),
    ],
)
def test_whose_silence_it_is(
    listening: Listening | None, other: Listening | None, voice: Voice, judged: float | None
) -> None:
    found = zone_facts(groups(ready_at(None)), listening, b=other)
    assert (found.voice, found.judged) == (voice, judged)


@pytest.mark.parametrize(
    ("reason", "listening", "settled"),
    [
        pytest.param(WeightReason.SILENT, None, 0, id="its node comes back, and nobody can be asked yet"),
        pytest.param(WeightReason.SILENT, HEARD, 1, id="it is heard again"),
        pytest.param(WeightReason.NO_READY_GROUP, None, 1, id="launchers are not asked at all"),
    ],
)
def test_a_zone_that_was_silent_is_not_well_before_somebody_is_asked(
    reason: WeightReason, listening: Listening | None, settled: int
) -> None:
    live = LiveTraffic({"a": 0}, {"a": Mark(Way.OUT, 0, reason)})
    found = facts({"a": groups(ready_at(None))}, Pace(), now=100, ears=Ears(lambda _: listening), live=live)
    assert found["a"].settled == settled


def test_a_zone_that_was_silent_and_has_no_ready_group_is_not_looked_at_again_and_again() -> None:
    live = LiveTraffic({"a": 0}, {"a": Mark(Way.OUT, 0, WeightReason.SILENT)})
    found = facts({"a": ()}, Pace(), now=100, ears=Ears(lambda _: None), live=live)
    assert (found["a"].ready, found["a"].settles, found["a"].judged) == (0, None, None)


def test_an_observer_that_loses_everybody_never_takes_that_for_a_lost_zone() -> None:
    """Last answers and failed reads at any moment of the second in which the cut falls."""
    for a in range(11):
        for b in range(11):
            for moment in range(100):
                now = moment / 10
                seen = {"a": now + a / 10, "b": now + b / 10}
                lists = {name: silence(seconds) for name, seconds in seen.items()}
                found = zone_facts(groups(ready_at(None)), lists["a"], b=lists["b"])
                assert found.voice is not Voice.SILENT


# ---- a reconcile -------------------------------------------------------------------------------------------


class Heard(World):
    """A world whose zones are heard, until a test says otherwise."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.zones: dict[str, Listening] = {}
        self.proof = Proof.UNAVAILABLE
        self.asked: list[tuple[str, str]] = []

    def prove(self, uid: str, question: str) -> Proof:
        self.asked.append((uid, question))
        return self.proof

    def listen(self, uids: Iterable[str]) -> Listening | None:
        uid = next(iter(uids), "")
        pods = {key[2]: obj for key, obj in self.kube.objects.items() if key[0] == POD}
        zone = next((name[4:10] for name, obj in pods.items() if obj["metadata"].get("uid") == uid), "")
        return self.zones.get(zone, HEARD)

    def marks(self) -> str | None:
        route: Obj = self.kube.one(HTTP_ROUTE, "llm")
        return (route["metadata"].get("annotations") or {}).get("trireme.dev/traffic")


@pytest.fixture
async def world() -> Heard:
    found = Heard()
    await found.reconcile()
    found.everything_ready()
    found.accept_route()
    await found.reconcile()
    return found


def zone_b(world: Heard) -> tuple[int, str, int | None]:
    zone = world.status["zones"][1]
    return zone["weight"], zone["weightReason"], zone.get("weightPercent")


async def test_a_silent_zone_is_written_once_and_comes_back_in_steps(world: Heard) -> None:
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 40}
    world.zones["zone-b"] = silence(2.0)
    assert await world.writes() == []
    assert await world.reconcile() == pytest.approx(1.05)
    world.zones["zone-b"] = silence(3.1)
    assert [write[:2] for write in await world.writes()] == [
        ("apply", "HTTPRoute"),
        ("status", "InferenceCluster"),
    ]
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 0}
    assert zone_b(world) == (0, "Silent", None)
    assert await world.writes() == [], "at rest nothing is written"

    world.zones["zone-b"] = Listening(asked=100.0, heard=0.1, steady=1.0, silence=None)
    await world.reconcile()
    assert zone_b(world) == (0, "Returning", 0)
    world.zones["zone-b"] = HEARD
    seen = []
    for _ in range(8):
        await world.reconcile()
        seen.append(world.weights()["llm-zone-b-http"])
        world.now += timedelta(seconds=10)
    assert seen == [5, 11, 16, 22, 28, 34, 40, 40]
    assert zone_b(world) == (40, "Healthy", None)
    assert world.marks() is None
    world.accept_route()
    await world.reconcile()
    assert await world.writes() == []


async def test_one_write_changes_only_numbers_and_marks(world: Heard) -> None:
    before = world.kube.one(HTTP_ROUTE, "llm")["spec"]
    world.zones["zone-b"] = silence(4.0)
    await world.reconcile()
    after = world.kube.one(HTTP_ROUTE, "llm")["spec"]
    for spec in (before, after):
        for ref in spec["rules"][0]["backendRefs"]:
            ref["weight"] = 0
    assert after == before
    assert world.marks() is not None


async def test_all_silent_is_said_and_nothing_is_moved(world: Heard) -> None:
    world.zones = {"zone-a": silence(9.0), "zone-b": silence(9.0)}
    assert [write[0] for write in await world.writes()] == ["status"]
    assert [zone["weightReason"] for zone in world.status["zones"]] == ["FailStatic", "FailStatic"]
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 40}


async def test_the_pace_is_the_specs(world: Heard) -> None:
    world.spec["failover"] = {"detectSeconds": 10, "dwellSeconds": 0, "returnSeconds": 0}
    world.zones["zone-b"] = silence(9.0)
    await world.reconcile()
    assert zone_b(world) == (40, "Healthy", None)
    world.zones["zone-b"] = silence(10.0)
    await world.reconcile()
    assert zone_b(world) == (0, "Silent", None)
    world.zones["zone-b"] = HEARD
    await world.reconcile()
    assert zone_b(world) == (40, "Healthy", None)


async def test_a_zone_comes_back_only_after_a_completion_through_its_service(world: Heard) -> None:
    world.zones["zone-b"] = silence(4.0)
    await world.reconcile()
    assert world.asked == [], "a zone that is not heard is not asked"
    left = int(world.now.timestamp())
    world.zones["zone-b"] = HEARD
    world.proof = Proof.PENDING
    world.now += timedelta(seconds=30)
    again = await world.reconcile()
    assert again is not None
    assert again <= 5.1
    assert zone_b(world) == (0, "Returning", 0)
    world.proof = Proof.FAILED
    await world.reconcile()
    assert zone_b(world) == (0, "CanaryFailed", None)
    assert await world.writes() == []
    world.proof = Proof.PASSED
    await world.reconcile()
    assert zone_b(world) == (5, "Returning", 14)
    leader = world.kube.one(POD, "llm-zone-b-0")["metadata"]["uid"]
    assert set(world.asked) == {(leader, str(left))}
    world.asked.clear()
    await world.reconcile()
    assert world.asked == [], "a zone in traffic is not asked again"


async def test_survivors_get_more_groups_while_a_zone_is_out_and_lose_them_after_it(world: Heard) -> None:
    world.spec["failover"] = {"survivorFloor": 3, "returnSeconds": 0}
    world.zones["zone-b"] = silence(4.0)
    again = await world.reconcile()
    assert again is not None
    assert again < 1, "what the route remembers from now on is looked at soon"
    await world.reconcile()
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-a")["spec"]["replicas"] == 4
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-b")["spec"]["replicas"] == 2
    assert world.weights()["llm-zone-a-http"] == 60, "the groups that come take no traffic from those that are there"
    world.zones["zone-b"] = HEARD
    await world.reconcile()
    await world.reconcile()
    assert world.kube.one(LEADER_WORKER_SET, "llm-zone-a")["spec"]["replicas"] == 1


# ---- the policy --------------------------------------------------------------------------------------------


async def with_policy(policy: str = "Careful") -> Heard:
    world = Heard(gateway={"parentRefs": [{"name": "edge", "namespace": "infra"}], "policy": policy})
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    await world.reconcile()
    return world


async def test_the_policy_is_made_before_the_route_and_goes_after_it() -> None:
    world = await with_policy()
    made = [kind for verb, kind, _ in world.kube.writes if verb == "apply"]
    assert made.index("BackendTrafficPolicy") < made.index("HTTPRoute")
    assert await world.writes() == []
    world.spec["gateway"]["policy"] = "Off"
    await world.reconcile()
    assert world.kube.names(BACKEND_TRAFFIC_POLICY) == set()
    assert world.kube.names(HTTP_ROUTE) == {"llm"}


async def test_a_policy_that_can_not_be_had_is_said_and_holds_nothing_up() -> None:
    world = Heard(gateway={"parentRefs": [{"name": "edge", "namespace": "infra"}], "policy": "Careful"})
    world.kube.unserved.add(BACKEND_TRAFFIC_POLICY)
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    await world.reconcile()
    said = world.condition("RoutesProgrammed")
    assert (said["status"], said["reason"]) == ("True", "Programmed")
    assert "BackendTrafficPolicy is not installed" in said["message"]


async def test_a_policy_that_envoy_gateway_refused_is_said() -> None:
    world = await with_policy()
    assert world.condition("RoutesProgrammed")["status"] == "True"
    refused = {"type": "Accepted", "status": "False", "reason": "Conflicted", "message": "another one is older"}
    world.kube.one(BACKEND_TRAFFIC_POLICY, "llm")["status"] = {"ancestors": [{"conditions": [refused]}]}
    await world.reconcile()
    said = world.condition("RoutesProgrammed")
    assert (said["status"], said["reason"]) == ("False", "PolicyNotAccepted")
    assert "another one is older" in said["message"]
