"""The other pods of a group: what they say, who counts, and when one is silent, lost or dead. The time is given."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trireme_runtime import ends, members
from trireme_runtime.ends import Signs
from trireme_runtime.members import Member
from trireme_runtime.membership import Membership, Place, State, Thresholds
from trireme_runtime.roster import Roster
from trireme_runtime.termination import Cause

EPOCH = "uid-of-the-leader"
LIMITS = Thresholds(silent=3.0, lost=30.0)


def said(
    where: str, *, uid: str = "a", running: bool = True, epoch: str | None = EPOCH, healthy: bool = True
) -> Member:
    return Member(pod_uid=uid, stage=where, reason="", engine_running=running, engine_healthy=healthy, epoch=epoch)


WAITING = said("Waiting", running=False, epoch=None)


def test_a_leader_starts_when_all_its_workers_wait() -> None:
    assert members.leader_waits_for({1: WAITING, 2: WAITING}) == ""
    assert "worker 2 is Ready" in members.leader_waits_for({1: WAITING, 2: said("Ready")})
    assert "earlier start" in members.leader_waits_for({1: said("Failed", running=False), 2: WAITING})
    assert "worker 1 is Fetching" in members.leader_waits_for({1: said("Fetching"), 2: WAITING})
    held = replace(WAITING, stage="Held", reason="until noon")
    assert members.leader_waits_for({1: held, 2: WAITING}) == "worker 1 (Held: until noon)"


@pytest.mark.parametrize("where", ["Waiting", "Held", "Preflight", "Ready", "Draining", "Failed"])
def test_a_worker_starts_only_beside_a_loading_leader(where: str) -> None:
    assert members.worker_waits_for(said("Loading")) == ""
    assert members.worker_waits_for(said("Compiling")) == ""
    assert members.worker_waits_for(said("Fetching")) == ""
    assert where in members.worker_waits_for(said(where))


def test_a_worker_does_not_join_a_leader_that_has_served() -> None:
    assert "earlier start" in members.worker_waits_for(replace(said("Loading"), ever_ready=True))


def test_names_of_workers_are_those_of_leaderworkerset() -> None:
    assert members.worker_address("m-0.m.ns", 3) == "m-0-3.m.ns"
    assert members.worker_address("m-0.m-0.ns", 1) == "m-0-1.m-0.ns", "a subdomain for each group"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"podUID": "a", "stage": "Ready", "reason": "", "engine": 1}'])
def test_what_is_no_status_is_not_a_member(body: bytes) -> None:
    with pytest.raises(ValueError, match="no status of a launcher"):
        members.parse(body)


OLD = {"podUID": "a", "stage": "Ready", "reason": "", "engine": {"running": True, "healthy": True}, "later": 1}


def test_the_status_of_an_older_launcher_becomes_a_member() -> None:
    assert members.parse(json.dumps(OLD).encode()) == said("Ready", epoch=None)


def test_a_status_with_all_fields_becomes_a_member() -> None:
    cause = Cause("EngineKilled", "killed", None, "SIGKILL", ("last",), "m-0-1", 8, "2026-01-01T00:00:00Z")
    body = OLD | {"pod": "m-0-1", "epoch": EPOCH, "everReady": True, "failure": cause.as_json()}
    found = members.parse(json.dumps(body).encode())
    assert found == replace(said("Ready"), pod="m-0-1", ever_ready=True, failure=cause)


def worker(*, begun: bool = True) -> Membership:
    """One that has been waiting since second 0; its leader's engine has been started."""
    member = Membership(Place(1, "m-0-1", 8), LIMITS)
    member.beat(WAITING, 0.0)
    if begun:
        member.begin(EPOCH)
    return member


def joined() -> Membership:
    member = worker()
    member.beat(said("Loading"), 1.0)
    return member


@pytest.mark.parametrize(
    ("answer", "joins"),
    [
        pytest.param(WAITING, False, id="no engine yet"),
        pytest.param(said("Loading", epoch="another"), False, id="an earlier start"),
        pytest.param(said("Loading", uid="b"), True, id="whoever waits there now"),
        pytest.param(said("Loading", epoch=None), True, id="a launcher that knows no epochs"),
    ],
)
def test_a_pod_joins_when_its_engine_runs_in_this_epoch(answer: Member, joins: bool) -> None:
    member = worker()
    member.beat(answer, 1.0)
    assert member.joined is joins
    assert member.state(1.0) is State.ALIVE


def test_silence_takes_it_out_and_the_next_beat_brings_it_back() -> None:
    member = joined()
    member.miss("timed out")
    assert (member.state(4.0), member.trouble(4.0)) == (State.ALIVE, "")
    assert member.state(4.1) is State.SILENT
    assert member.trouble(4.1) == "worker 1: silent for more than 3 s (timed out)"
    assert member.lost(31.0) is None
    member.beat(said("Ready"), 31.0)
    assert (member.state(31.0), member.trouble(31.0)) == (State.ALIVE, "")
    assert member.pulse.steady_since == 31.0


def test_silence_beyond_the_second_limit_is_a_loss_without_a_proof() -> None:
    member = joined()
    loss = member.lost(31.1)
    assert loss is not None
    assert str(loss) == "worker 1 has been silent for more than 30 s"
    assert (loss.place.pod, loss.place.rank) == ("m-0-1", 8)
    assert member.state(31.1) is State.SILENT
    assert worker().lost(1000.0) is None, "who has not joined cannot be lost"


@pytest.mark.parametrize(
    ("proof", "why"),
    [
        pytest.param(said("Ready", uid="b"), "was replaced by another pod", id="another pod"),
        pytest.param(said("Failed"), "has failed", id="it reports its failure"),
        pytest.param(said("Loading", running=False), "runs no engine any more (Loading)", id="its engine is gone"),
        pytest.param(said("Loading", epoch="later"), "has joined another start", id="another epoch"),
    ],
)
def test_a_proof_of_death_is_final(proof: Member, why: str) -> None:
    member = joined()
    member.beat(proof, 2.0)
    assert member.state(2.0) is State.DEAD
    assert why in str(member.death)
    member.beat(said("Ready"), 2.5)
    assert member.state(2.5) is State.DEAD, "an engine that left cannot come back"
    assert why in member.trouble(2.5)


def test_a_closed_port_counts_at_once_and_is_a_proof_when_it_stays_closed() -> None:
    member = joined()
    member.refuse("refused")
    assert member.state(1.1) is State.SILENT
    assert member.trouble(1.1) == "worker 1: refused"
    assert member.death is None
    member.beat(said("Ready"), 1.4)
    assert member.state(1.4) is State.ALIVE
    member.refuse("refused")
    member.refuse("refused again")
    assert str(member.death) == "worker 1 is gone: refused again"


def test_nothing_is_a_proof_before_the_pod_has_joined() -> None:
    member = worker()
    for _ in range(5):
        member.refuse("the name does not exist")
    member.beat(said("Failed", running=False), 1.0)
    member.beat(replace(WAITING, pod_uid="b"), 2.0)
    assert member.death is None
    member.beat(said("Loading", uid="b"), 3.0)
    assert member.joined


def test_the_end_of_a_pod_that_drained_is_orderly() -> None:
    member = joined()
    member.beat(said("Draining"), 2.0)
    member.refuse("refused")
    member.refuse("refused")
    assert member.death is not None
    assert member.death.orderly
    assert not joined().death


def test_what_a_pod_says_of_its_failure_is_kept() -> None:
    cause = Cause("EngineKilled", "killed")
    member = joined()
    member.beat(replace(said("Failed"), failure=cause), 2.0)
    assert member.death is not None
    assert member.death.cause == cause


def group() -> Roster:
    roster = Roster([Place(1), Place(2)], is_leader=True, thresholds=LIMITS)
    for index, uid in ((1, "a"), (2, "b")):
        roster.members[index].beat(replace(WAITING, pod_uid=uid), 0.0)
    return roster


def served() -> Roster:
    roster = group()
    roster.begin(EPOCH)
    for index, uid in ((1, "a"), (2, "b")):
        roster.members[index].beat(said("Loading", uid=uid), 1.0)
    return roster


def test_a_leader_waits_until_it_has_heard_everybody() -> None:
    roster = Roster([Place(1)], is_leader=True, thresholds=LIMITS)
    assert "not asked yet" in roster.waits_for(0.0)
    roster.members[1].beat(WAITING, 0.0)
    assert roster.waits_for(0.1) == ""
    assert "silent" in roster.waits_for(3.1)


def test_a_group_serves_while_the_workers_that_joined_run() -> None:
    roster = group()
    roster.begin(EPOCH)
    roster.members[1].beat(said("Loading"), 1.0)
    assert roster.obstacle(1.0) == "worker 2 has not joined yet (Waiting)"
    roster.members[2].beat(said("Loading", uid="b"), 1.0)
    assert roster.obstacle(1.0) == ""
    roster.members[2].beat(said("Loading", uid="b", healthy=False), 1.5)
    assert roster.obstacle(1.5) == "the engine of worker 2 does not serve"
    assert "worker 1: silent" in roster.obstacle(4.1)


def test_the_cause_that_a_pod_gave_comes_before_those_of_pods_that_followed_it() -> None:
    roster = served()
    for _ in range(2):
        roster.members[1].refuse("refused")
    roster.members[2].beat(replace(said("Failed", uid="b"), failure=Cause("EngineKilled", "killed")), 2.0)
    death = roster.death()
    assert death is not None
    assert death.place.index == 2


def test_a_group_has_been_heard_since_the_last_of_its_members_came_back() -> None:
    roster = group()
    roster.begin(EPOCH)
    assert roster.heard_since(1.0) == 0.0
    roster.members[2].beat(said("Loading", uid="b"), 2.0)
    assert roster.heard_since(4.5) == float("inf"), "worker 1 is silent"
    roster.members[1].beat(said("Loading"), 4.6)
    assert roster.heard_since(4.7) == 4.6
    assert Roster([], is_leader=True, thresholds=LIMITS).heard_since(1.0) == float("-inf")


def test_a_worker_that_is_told_to_end_is_seen() -> None:
    roster = served()
    assert not roster.drains()
    roster.members[2].beat(said("Draining", uid="b"), 2.0)
    assert roster.drains()
    assert roster.obstacle(2.0) == "", "it keeps its ranks while the group drains"


def test_a_worker_is_ready_with_the_leader_that_it_joined() -> None:
    roster = Roster([Place(0)], is_leader=False, thresholds=LIMITS)
    roster.members[0].beat(said("Loading", uid=EPOCH), 0.0)
    assert roster.waits_for(0.0) == ""
    roster.begin(EPOCH)
    assert roster.obstacle(0.0) == "the leader (Loading)"
    roster.members[0].beat(said("Ready", uid=EPOCH), 1.0)
    assert roster.obstacle(1.0) == ""
    roster.members[0].beat(said("Ready", uid="another", epoch="another"), 2.0)
    assert roster.obstacle(2.0) == "the leader was replaced by another pod"


@dataclass
class Fate:
    """What must be true of one member, told without the code under test."""

    uid: str | None = None
    dead: bool = False
    refusals: int = 0
    heard_at: float = 0.0
    healthy: bool = True

    def hears(self, said: Member, now: float) -> None:
        mine = said.epoch in (None, EPOCH)
        if self.uid is None:
            self.uid = said.pod_uid if said.engine_running and mine else None
        elif said.pod_uid != self.uid or not mine or said.stage == "Failed" or not said.engine_running:
            self.dead = True
        self.refusals, self.heard_at, self.healthy = 0, now, said.engine_healthy

    def is_refused(self) -> None:
        self.refusals += 1
        self.dead = self.dead or (self.uid is not None and self.refusals > 1)

    def counts(self, now: float) -> bool:
        known = self.uid is not None and not self.dead
        return known and self.healthy and not self.refusals and now - self.heard_at <= LIMITS.silent


ANSWERS = st.builds(
    said,
    st.sampled_from(["Waiting", "Loading", "Ready", "Draining", "Failed"]),
    uid=st.sampled_from(["a", "b", "stranger"]),
    running=st.sampled_from([True, True, True, False]),
    epoch=st.sampled_from([EPOCH, EPOCH, None, "another"]),
    healthy=st.sampled_from([True, True, False]),
)
GOOD = st.sampled_from([said("Loading"), said("Ready")])
EVENTS = st.lists(
    st.tuples(
        st.sampled_from([1, 2]), st.one_of(GOOD, GOOD, ANSWERS, st.sampled_from(["refused", "missed"])), st.floats(0, 2)
    ),
    max_size=40,
)


@given(EVENTS)
def test_no_order_of_events_leads_to_ready_with_a_dead_member(events: list[tuple[int, Member | str, float]]) -> None:
    roster = group()
    roster.begin(EPOCH)
    fates = {1: Fate(), 2: Fate()}
    now = 0.0
    for index, event, pause in events:
        now += pause
        if isinstance(event, Member):
            roster.members[index].beat(event, now)
            fates[index].hears(event, now)
        elif event == "refused":
            roster.members[index].refuse(event)
            fates[index].is_refused()
        else:
            roster.members[index].miss(event)
        assert (roster.obstacle(now) == "") is all(fate.counts(now) for fate in fates.values())
        assert {i for i, each in roster.members.items() if each.death} == {i for i, fate in fates.items() if fate.dead}
        assert (roster.death() is not None) is any(fate.dead for fate in fates.values())
        signs = Signs(death=roster.death(), lost=roster.lost(now))
        assert (ends.proof(signs) is not None) is any(fate.dead for fate in fates.values())
        if ends.suspicion(signs, now=now, unhealthy_limit=LIMITS.lost) is not None:
            assert roster.obstacle(now), "a group whose end is put off does not serve meanwhile"
