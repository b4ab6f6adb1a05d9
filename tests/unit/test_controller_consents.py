"""May a group be ended on suspicion: one of a zone at a time, as the holder of the Lease sees it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.controller_samples import NAMESPACE, pod, resource
from trireme_operator.controller.consents import GRANT_SECONDS, LOADING_SECONDS, RENEW_SECONDS, SUSPICIONS, Consents
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.controller.times import timestamp
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, POD
from trireme_operator.planning.history import Failure, History, encode, remember

START = 1_800_000_000
SET = "llm-zone-a"
YES = {"end": True}


class World:
    """The set of a zone with some groups, all of them out of rotation, and the operator that leads."""

    def __init__(self, replicas: int = 3) -> None:
        self.now = float(START)
        self.led_for: float | None = 3600.0
        self.history = History()
        self.replicas = replicas
        self._version = 1
        self.store = Store([Stream(kind, None) for kind in KINDS], lambda _: None)
        self._see(INFERENCE_CLUSTER, resource(), "ic")
        self._write()
        for group in range(replicas):
            self.leader(group)
        self.consents = self.operator()

    def operator(self) -> Consents:
        return Consents(
            self.store, self, clock=lambda: datetime.fromtimestamp(self.now, UTC), monotonic=lambda: self.now
        )

    def _see(self, kind: Any, obj: Any, uid: str) -> None:
        self._version += 1
        obj["metadata"] |= {"uid": uid, "resourceVersion": str(self._version)}
        self.store.see(kind, None, obj)

    def _write(self) -> None:
        annotations = {"trireme.dev/history": encode(self.history)}
        labels = {"trireme.dev/cluster": "llm"}
        metadata = {"name": SET, "namespace": NAMESPACE, "labels": labels, "annotations": annotations}
        self._see(LEADER_WORKER_SET, {"metadata": metadata, "spec": {"replicas": self.replicas}}, "lws")

    def leader(self, group: int, *, epoch: int = 1, ready: bool = False) -> None:
        uid = f"{group}-{epoch}"
        old = self.store.get(POD, (NAMESPACE, f"{SET}-{group}"))
        if old is not None and old["metadata"]["uid"] != uid:
            self._version += 1
            old["metadata"]["resourceVersion"] = str(self._version)
            self.store.see(POD, "DELETED", old)
        self._see(POD, pod(SET, group, 0, ready=ready), uid)

    def ended(self, group: int, reason: str = "MemberLost", *, epoch: int = 1) -> None:
        failure = Failure(group, f"{group}-{epoch}", f"{SET}-{group}", 0, reason, int(self.now), revision="r1")
        self.history = remember(self.history, failure)
        self._write()

    def ask(self, group: int) -> dict[str, Any] | None:
        return self.consents.answer(NAMESPACE, SET, group)

    def may_end(self, group: int) -> bool:
        answer = self.ask(group)
        return answer is not None and bool(answer["end"])


def test_one_group_may_end_and_the_others_wait_for_it() -> None:
    world = World()
    assert world.ask(1) == YES
    assert world.ask(1) == YES, "its other pods ask as well"
    assert world.ask(2) == {"end": False, "cause": "group 1 of the zone is being ended"}
    world.now += 5
    world.ended(1)
    world.leader(1, epoch=2)
    world.now += GRANT_SECONDS
    want = f"group 1 of the zone ended at {timestamp(START + 5)} (MemberLost) and is not ready again"
    assert world.ask(2) == {"end": False, "cause": want}
    world.leader(1, epoch=2, ready=True)
    assert world.ask(2) == YES


def test_a_leader_that_is_not_gone_yet_is_not_the_one_that_is_ready_again() -> None:
    world = World()
    world.ended(1)
    world.leader(1, epoch=1, ready=True)
    assert not world.may_end(2)


def test_a_group_that_may_end_and_recovers_keeps_the_others_for_a_moment_only() -> None:
    world = World()
    assert world.may_end(1)
    world.leader(1, ready=True)
    assert not world.may_end(2)
    world.now += GRANT_SECONDS
    assert world.may_end(2)


def test_a_group_that_never_comes_back_does_not_keep_the_others_for_ever() -> None:
    world = World()
    world.ended(1)
    world.now += LOADING_SECONDS - 1
    assert not world.may_end(2)
    world.now += 1
    assert world.may_end(2)


@pytest.mark.parametrize("reason", ["MemberDead", "EngineExited", "EngineKilled", "OOMKilled", "PreflightFailed"])
def test_an_end_by_proof_puts_off_nobody(reason: str) -> None:
    world = World()
    world.ended(1, reason)
    assert world.may_end(2)


@pytest.mark.parametrize("reason", ["Stalled", "MemberLost", "EngineUnhealthy"])
def test_each_end_on_suspicion_does(reason: str) -> None:
    world = World()
    world.ended(1, reason)
    assert not world.may_end(2)


def test_what_failed_for_another_reason_while_it_loaded_again_still_loads() -> None:
    world = World()
    world.ended(1)
    world.now += 60
    world.leader(1, epoch=2)
    world.ended(1, "OOMKilled", epoch=2)
    assert not world.may_end(2)


def test_a_group_that_is_ready_or_of_another_zone_or_not_asked_for_any_more_is_in_nobodys_way() -> None:
    world = World(replicas=3)
    world.ended(2)
    world.replicas = 2
    world._write()
    assert world.may_end(1)
    world.leader(0, ready=True)
    assert world.ask(0) == {"end": False, "cause": f"pod {SET}-0 is ready"}
    assert world.consents.answer(NAMESPACE, "llm-zone-b", 0) == YES


def test_only_who_leads_answers_and_not_before_what_was_allowed_before_is_to_be_seen() -> None:
    world = World()
    world.led_for = None
    assert world.ask(1) is None
    world.led_for = GRANT_SECONDS - 1
    answer = world.ask(1)
    assert answer is not None
    assert "has just taken over" in answer["cause"]
    world.led_for = GRANT_SECONDS
    assert world.ask(1) == YES


def test_asking_for_a_group_again_and_again_does_not_put_off_the_others_for_ever() -> None:
    world = World()
    refused = 0
    for _ in range(int(RENEW_SECONDS)):
        world.may_end(1)
        refused += not world.may_end(2)
        world.now += 1
    assert refused <= GRANT_SECONDS


def test_the_times_are_those_of_the_contract() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/contract.md").read_text()
    text = " ".join(page.partition("## May a group be ended?")[2].partition("\n## ")[0].split())
    assert f"for {GRANT_SECONDS:g} s after it let another group" in text
    assert f"in the last {LOADING_SECONDS // 60} minutes" in text
    assert f"counted once in {RENEW_SECONDS / 60:g} minutes" in text
    assert set(re.findall(r"`([A-Z][a-z]\w+)`", text)) == SUSPICIONS


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["ask", "end", "serve", "takeover"])), max_size=40))
def test_no_order_of_questions_ends_and_takeovers_lets_two_groups_go_at_once(steps: list[tuple[int, str]]) -> None:
    """Groups end within 20 s of the consent, and each operator leads only when the one before it does not."""
    world, epochs = World(), [1, 1, 1]
    going: dict[int, float] = {}
    loading: set[int] = set()
    for group, step in steps:
        world.now += 4
        if world.led_for is not None:
            world.led_for += 4
        for each in [other for other, since in going.items() if world.now - since >= 16]:
            world.ended(each, epoch=epochs[each])
            epochs[each] += 1
            world.leader(each, epoch=epochs[each])
            del going[each]
            loading.add(each)
        if step == "takeover":
            world.consents, world.led_for = world.operator(), 0.0
        elif step == "serve" and group in loading:
            world.leader(group, epoch=epochs[group], ready=True)
            loading.discard(group)
        elif step == "end" and group not in going and group not in loading:
            world.leader(group, epoch=epochs[group], ready=False)
        elif step == "ask" and group not in loading and world.may_end(group):
            going.setdefault(group, world.now)
        assert len(going.keys() | loading) <= 1
