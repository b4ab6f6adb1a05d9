"""Whose silence it is: who is asked when a sentinel says nothing, and what is told of its zone then."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.unit.launchers import WHERE, document, target
from tests.unit.test_collector_schedule import Clock, asked, filled
from trireme_operator.collector import Listening
from trireme_operator.collector.client import SilentError
from trireme_operator.collector.collector import Collector
from trireme_operator.collector.schedule import ALARMED_LEADERS, Schedule
from trireme_operator.collector.targets import Target, Where
from trireme_operator.planning import Proof


def leader(number: int, zone: int) -> Target:
    return Target(f"uid-{number}", f"10.0.0.{number}", WHERE, f"llm-{zone}", number, 0)


class Wire:
    """Launchers that answer unless they are cut off, and a collector that asks them when it is told to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cut: set[str] = set()
        self.changed: list[Where] = []
        self.collector = Collector(self.read, self.changed.append, belongs=lambda *_: True, clock=self.clock)
        self.targets: list[Target] = []
        self.questions: list[str] = []
        self.said: dict[str, Any] = {}

    def add(self, number: int) -> str:
        each = leader(number, 0)
        self.collector.schedule.put(each, self.clock.now)
        self.targets.append(each)
        return each.uid

    async def read(self, address: str, question: str = "", /) -> bytes:
        self.questions.append(question)
        if address in self.cut:
            self.clock.now += 1.0
            raise SilentError("TimeoutError")
        return json.dumps(document(f"uid-{address.rpartition('.')[2]}", **self.said)).encode()

    async def pass_by(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while self.clock.now < until:
            for each in list(self.collector.schedule.take(self.clock.now)):
                await self.collector.asking.one(each)
            self.clock.now += 0.1

    def listening(self, *uids: str) -> Listening:
        found = self.collector.listening(uids)
        assert found is not None
        return found


async def test_nothing_is_told_of_leaders_that_were_not_asked() -> None:
    assert Wire().collector.listening(["uid-1"]) is None


async def test_a_leader_that_answers_is_heard_and_steady() -> None:
    wire = Wire()
    uid = wire.add(0)
    await wire.pass_by(5)
    found = wire.listening(uid)
    assert found.heard is not None
    assert found.heard <= 1.2
    assert found.steady is not None
    assert found.steady >= 4.5
    assert found.silence is None
    assert wire.changed == []


async def test_silence_is_counted_from_the_last_answer_and_named_once() -> None:
    wire = Wire()
    uid = wire.add(0)
    await wire.pass_by(2)
    wire.cut.add("10.0.0.0")
    await wire.pass_by(4)
    found = wire.listening(uid)
    assert found.steady is None
    assert found.silence is not None
    assert 3.0 <= found.silence <= 6.0
    assert wire.changed == [WHERE]
    wire.cut.clear()
    await wire.pass_by(2)
    found = wire.listening(uid)
    assert found.silence is None
    assert found.steady is not None
    assert found.steady <= 2.5
    assert wire.changed == [WHERE, WHERE]


async def test_a_zone_is_not_silent_while_one_of_its_leaders_is_heard() -> None:
    wire = Wire()
    uids = [wire.add(number) for number in range(3)]
    await wire.pass_by(6)
    wire.cut.add("10.0.0.0")
    await wire.pass_by(4)
    assert wire.listening(*uids).silence is None
    assert wire.listening(uids[0]).silence is not None


async def test_a_zone_that_was_never_heard_is_named_once_to_be_judged() -> None:
    wire = Wire()
    uids = [wire.add(number) for number in range(2)]
    wire.cut |= {"10.0.0.0", "10.0.0.1"}
    await wire.pass_by(30)
    found = wire.listening(*uids)
    assert (found.heard, found.steady) == (None, None)
    assert wire.changed == [WHERE]


async def test_a_completion_is_asked_for_while_somebody_wants_it() -> None:
    wire = Wire()
    uid = wire.add(0)
    assert wire.collector.proof(uid, "17") is Proof.UNAVAILABLE, "it is not heard yet"
    await wire.pass_by(2)
    assert wire.collector.proof(uid, "17") is Proof.UNAVAILABLE, "its launcher can make none"
    wire.said = {"serviceCanary": {"question": "", "passed": None, "seconds": None, "at": None, "reason": ""}}
    await wire.pass_by(2)
    assert wire.collector.proof(uid, "17") is Proof.PENDING
    assert wire.changed == [], "that one can be made is no news"
    wire.questions.clear()
    wire.said = {"serviceCanary": {"question": "17", "passed": False, "reason": "no answer"}}
    await wire.pass_by(2)
    assert wire.collector.proof(uid, "17") is Proof.FAILED
    assert wire.changed == [WHERE], "its outcome is news"
    assert set(wire.questions) == {"17"}
    wire.said = {"serviceCanary": {"question": "17", "passed": True, "reason": ""}}
    await wire.pass_by(2)
    assert wire.collector.proof(uid, "17") is Proof.PASSED
    assert wire.collector.proof(uid, "18") is Proof.PENDING
    await wire.pass_by(20)
    assert wire.questions[-1] == "", "nobody wants it any more"


def test_a_silent_sentinel_has_its_zone_and_the_others_sentinels_asked_at_once_and_each_second() -> None:
    clock = Clock()
    schedule = Schedule()
    for number in range(9):
        schedule.put(leader(number, number % 3), clock.now)
    schedule.put(replace(leader(9, 0), where=("genai", "other")), clock.now)
    schedule.put(replace(leader(10, 3), where=("genai", "other")), clock.now)
    asked(schedule, clock, seconds=2.0)
    sentinel = leader(0, 0)
    assert schedule.is_sentinel(sentinel)
    schedule.alarm(sentinel, clock.now)
    schedule.alarm(sentinel, clock.now)
    found = [each.uid for _, each in asked(schedule, clock, seconds=10.0)]
    assert all(9 <= found.count(uid) <= 11 for uid in ("uid-0", "uid-1", "uid-2", "uid-3", "uid-6"))
    assert found.count("uid-4") <= 3, "a leader of another zone that is no sentinel"
    schedule.calm(sentinel.where, sentinel.set_name)
    asked(schedule, clock, seconds=6.0)
    found = [each.uid for _, each in asked(schedule, clock, seconds=10.0)]
    assert found.count("uid-3") <= 3


def test_an_alarm_asks_for_a_bounded_number_of_leaders() -> None:
    clock = Clock()
    schedule = filled(100, clock)
    asked(schedule, clock, seconds=6.0)
    schedule.alarm(target(0, group=0, name="llm0"), clock.now)
    at_once = [each.uid for _, each in asked(schedule, clock, seconds=0.9)]
    assert ALARMED_LEADERS <= len(at_once) <= ALARMED_LEADERS + 25


def test_an_alarm_ends_with_its_zone() -> None:
    clock = Clock()
    schedule = filled(2, clock, zones=2)
    schedule.alarm(target(0, group=0, name="llm0"), clock.now)
    schedule.drop("uid-0", clock.now)
    asked(schedule, clock, seconds=3.0)
    assert len(schedule) == 1
    schedule.drop("uid-1", clock.now)
    assert schedule.wait_seconds(clock.now) is None
