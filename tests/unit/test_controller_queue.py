"""The keyed queue: merging, one run at a time, back-off, fairness."""

import asyncio
import random

import pytest

from trireme_operator.controller.queue import BACKOFF_LIMIT_SECONDS, Key, KeyedQueue

A, B = Key("one", "a"), Key("one", "b")
OTHER = Key("two", "c")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> KeyedQueue:
    return KeyedQueue(clock=clock, rng=random.Random(1))  # noqa: S311 - a fixed jitter


def test_equal_keys_merge(queue: KeyedQueue) -> None:
    for _ in range(50):
        queue.add(A)
    assert queue.depth == 1
    assert queue.take() == A
    assert queue.take() is None


def test_a_running_key_is_not_taken_twice_and_runs_again_when_it_became_dirty(queue: KeyedQueue) -> None:
    queue.add(A)
    assert queue.take() == A
    queue.add(A)
    queue.add(A)
    assert queue.take() is None, "the key runs"
    queue.succeeded(A, again_seconds=100)
    assert queue.take() == A
    queue.succeeded(A, again_seconds=None)
    assert queue.take() is None
    assert queue.known() == ()


def test_success_waits_for_the_resync_within_a_fifth(queue: KeyedQueue, clock: Clock) -> None:
    queue.add(A)
    queue.take()
    queue.succeeded(A, again_seconds=100)
    clock.now += 79
    assert queue.take() is None
    clock.now += 42
    assert queue.take() == A


def test_failures_back_off_doubling_up_to_a_limit(queue: KeyedQueue, clock: Clock) -> None:
    queue.add(A)
    delays = []
    for _ in range(15):
        assert queue.take() == A
        delays.append(queue.failed(A))
        clock.now += delays[-1]
    for index, delay in enumerate(delays):
        nominal = min(0.5 * 2**index, BACKOFF_LIMIT_SECONDS)
        assert 0.8 * nominal <= delay <= 1.2 * nominal


def test_success_forgets_the_failures(queue: KeyedQueue, clock: Clock) -> None:
    queue.add(A)
    for _ in range(6):
        queue.take()
        clock.now += queue.failed(A)
    queue.take()
    queue.succeeded(A, again_seconds=1)
    clock.now += 2
    assert queue.take() == A
    assert queue.failed(A) <= 0.6


def test_a_dirty_key_that_fails_still_backs_off(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.take()
    queue.add(A)
    queue.failed(A)
    assert queue.take() is None


def test_an_event_during_back_off_runs_the_key_at_once_and_only_once(queue: KeyedQueue, clock: Clock) -> None:
    queue.add(A)
    queue.take()
    delay = queue.failed(A)
    queue.add(A)
    assert queue.take() == A
    queue.succeeded(A, again_seconds=None)
    clock.now += delay * 2
    assert queue.take() is None, "the cancelled timer must not bring the key back"


def test_events_in_a_burst_are_gathered_and_the_first_one_after_a_rest_is_not(clock: Clock) -> None:
    queue = KeyedQueue(gather_seconds=0.1, clock=clock)
    queue.add(A)
    assert queue.take() == A, "nothing came before it"
    queue.add(A)
    queue.succeeded(A, again_seconds=100)
    for _ in range(5):
        assert queue.take() is None
        queue.add(A)
        clock.now += 0.015
    clock.now += 0.03
    assert queue.take() == A, "a tenth of a second after the run before, however many events came"
    queue.succeeded(A, again_seconds=100)
    clock.now += 0.2
    queue.add(A)
    assert queue.take() == A
    queue.failed(A)
    queue.add(A)
    assert queue.take() is None, "a failing key is not run by each event of a storm either"
    clock.now += 0.11
    assert queue.take() == A


def test_a_failure_waits_at_least_as_long_as_the_server_asked(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.take()
    assert queue.failed(A, at_least_seconds=30) == 30


def test_namespaces_take_turns(queue: KeyedQueue) -> None:
    for number in range(100):
        queue.add(Key("busy", str(number)))
    queue.add(OTHER)
    taken = [queue.take() for _ in range(3)]
    assert OTHER in taken


def test_a_poison_key_does_not_hold_up_others(queue: KeyedQueue) -> None:
    queue.add(A)
    queue.add(B)
    assert queue.take() == A
    queue.failed(A)
    assert queue.take() == B


def test_age_counts_from_when_the_key_could_run(queue: KeyedQueue, clock: Clock) -> None:
    assert queue.oldest_seconds == 0
    queue.add(A)
    clock.now += 7
    assert queue.oldest_seconds == 7
    queue.take()
    assert queue.oldest_seconds == 0, "a running key does not wait for a worker"
    queue.succeeded(A, again_seconds=10)
    clock.now += 20
    assert 8 <= queue.oldest_seconds <= 12


def test_ending_a_key_that_does_not_run_is_an_error(queue: KeyedQueue) -> None:
    with pytest.raises(RuntimeError, match="one/a"):
        queue.succeeded(A, again_seconds=1)


async def test_get_waits_for_an_add_and_for_a_timer() -> None:
    queue = KeyedQueue()
    asyncio.get_running_loop().call_later(0.01, queue.add, A)
    async with asyncio.timeout(5):
        assert await queue.get() == A
        queue.succeeded(A, again_seconds=0.01)
        assert await queue.get() == A


async def test_several_workers_never_share_a_key() -> None:
    queue = KeyedQueue()
    running: set[Key] = set()
    runs = 0

    async def worker() -> None:
        nonlocal runs
        while True:
            key = await queue.get()
            assert key not in running
            running.add(key)
            await asyncio.sleep(0.001)
            running.remove(key)
            runs += 1
            queue.succeeded(key, again_seconds=None)

    workers = [asyncio.create_task(worker()) for _ in range(8)]
    for round_ in range(50):
        for number in range(5):
            queue.add(Key(f"ns{number % 2}", str(number)))
        if round_ % 5 == 0:
            await asyncio.sleep(0.001)
    async with asyncio.timeout(5):
        while queue.known():  # noqa: ASYNC110 - the queue has no such event
            await asyncio.sleep(0.001)
    for task in workers:
        task.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert 5 <= runs <= 100
