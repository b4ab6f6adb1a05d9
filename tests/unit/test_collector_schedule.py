"""When the collector asks whom: sentinels each second, all others as the budget allows."""

from __future__ import annotations

import pytest

from tests.unit.launchers import target
from trireme_operator.collector.schedule import OTHER_SECONDS, READS_PER_SECOND, Schedule
from trireme_operator.collector.targets import Target


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(schedule: Schedule, clock: Clock, *, seconds: float, answers: bool = True) -> list[tuple[float, Target]]:
    """Who is asked when, if each answers at once (or never)."""
    found: list[tuple[float, Target]] = []
    for _ in range(int(seconds * 100)):
        for each in list(schedule.take(clock.now)):
            found.append((clock.now, each))
            if answers:
                schedule.done(each, clock.now)
        clock.now += 0.01
    return found


def filled(count: int, clock: Clock, *, zones: int = 1, workers: int = 0) -> Schedule:
    schedule = Schedule()
    for number in range(count):
        each = target(number, group=number // zones, name=f"llm{number % zones}")
        schedule.put(each, clock.now)
    for number in range(count, count + workers):
        schedule.put(target(number, group=0, worker=1 + number, name="llm0"), clock.now)
    return schedule


def test_a_sentinel_of_each_zone_is_asked_each_second_and_the_others_less_often() -> None:
    clock = Clock()
    schedule = filled(6, clock, zones=2)
    counts: dict[str, int] = {}
    for _, each in asked(schedule, clock, seconds=60.0):
        counts[each.uid] = counts.get(each.uid, 0) + 1
    assert {uid: count for uid, count in counts.items() if count > 50} == {"uid-0": counts["uid-0"]} | {
        "uid-1": counts["uid-1"]
    }, "the leaders of the first groups"
    assert all(55 <= counts[uid] <= 60 for uid in ("uid-0", "uid-1"))
    assert all(11 <= counts[f"uid-{number}"] <= 13 for number in range(2, 6))


@pytest.mark.parametrize(("count", "zones"), [(300, 3), (3000, 10), (3000, 3000), (1, 1)])
def test_never_more_reads_than_the_budget_and_nobody_is_left_out(count: int, zones: int) -> None:
    clock = Clock()
    schedule = filled(count, clock, zones=zones)
    found = asked(schedule, clock, seconds=30.0)
    assert len(found) <= 30.0 * READS_PER_SECOND + 20
    for second in range(29):
        within = [when for when, _ in found if second <= when - 1000.0 < second + 1]
        assert len(within) <= READS_PER_SECOND + 20
    assert len({each.uid for _, each in found}) == count


def test_intervals_follow_from_the_number() -> None:
    clock = Clock()
    small = filled(6, clock, zones=2)
    assert (small.sentinel_seconds, small.other_seconds) == (1.0, OTHER_SECONDS)
    large = filled(3000, clock, zones=3000)
    assert large.sentinel_seconds == 3000 / 150
    wide = filled(100, clock, zones=100, workers=5000)
    assert (wide.sentinel_seconds, wide.other_seconds) == (1.0, 50.0)


def test_a_launcher_is_not_asked_again_before_it_answered() -> None:
    clock = Clock()
    found = asked(filled(3, clock), clock, seconds=30.0, answers=False)
    assert len(found) == 3


def test_when_the_sentinel_goes_the_next_leader_takes_its_place_at_once() -> None:
    clock = Clock()
    schedule = filled(3, clock)
    asked(schedule, clock, seconds=1.5)
    schedule.drop("uid-0", clock.now)
    found = [each.uid for _, each in asked(schedule, clock, seconds=4.0)]
    assert found.count("uid-1") == 4
    assert "uid-0" not in found


def test_an_empty_schedule_wakes_nobody() -> None:
    clock = Clock()
    schedule = filled(2, clock)
    for uid in ("uid-0", "uid-1"):
        schedule.drop(uid, clock.now)
    assert schedule.wait_seconds(clock.now) is None
    assert list(schedule.take(clock.now)) == []
    assert len(schedule) == 0


def test_a_pod_with_a_new_address_is_asked_there_at_once() -> None:
    clock = Clock()
    schedule = filled(1, clock)
    asked(schedule, clock, seconds=0.1)
    schedule.put(target(0, at="127.9.9.9"), clock.now)
    assert [each.address for each in schedule.take(clock.now)] == ["127.9.9.9"]
