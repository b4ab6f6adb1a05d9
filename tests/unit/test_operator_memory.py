"""What is given back after many deletions."""

import asyncio
import gc
import itertools
import sys

import pytest
from yarl import URL, _url

from tests.unit.resources import raw
from trireme_operator import memory
from trireme_operator.api import read


def freed_tuples(size: int, number: int = 2000) -> int:
    """Fill Python's free list of one size; returns how many of its blocks that takes."""
    before = sys.getallocatedblocks()
    kept = [tuple([number] * size) for number in range(number)]
    del kept
    return sys.getallocatedblocks() - before


def nothing() -> None:
    """No connections are open."""


async def given_back(deletions: list[int]) -> int:
    """How many blocks are free again when these counts were told, one a look, the last one for ever."""
    told = iter(deletions)
    last = deletions[-1]
    looks = itertools.count()
    seen = asyncio.Event()

    def tell() -> int:
        if next(looks) > 2 * len(deletions):
            seen.set()
        return next(told, last)

    before = sys.getallocatedblocks()
    task = asyncio.create_task(memory.give_back(tell, nothing))
    async with asyncio.timeout(20):
        await seen.wait()
    task.cancel()
    return before - sys.getallocatedblocks()


@pytest.mark.parametrize(
    ("deletions", "done"),
    [([0, 0, 0], False), ([0, memory.WORTHWHILE, memory.WORTHWHILE], True), ([0, memory.WORTHWHILE - 1], False)],
    ids=["none", "many", "few"],
)
async def test_free_lists_are_emptied_after_many_deletions(
    deletions: list[int], done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CALM_SECONDS", 0.001)
    gc.collect()
    gc.disable()
    try:
        kept = freed_tuples(17)
        assert kept > 1500
        assert (await given_back(deletions) > 1500) is done
    finally:
        gc.enable()


async def test_idle_connections_go_first_and_caches_with_a_limit_are_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CALM_SECONDS", 0.001)
    seen: list[int] = []
    collected = asyncio.Event()
    monkeypatch.setattr(gc, "collect", collected.set)
    _url.encode_url.cache_clear()
    URL("https://10.0.0.1/some/path")
    told = iter([0, memory.WORTHWHILE])
    cached = _url.encode_url.cache_info
    task = asyncio.create_task(
        memory.give_back(lambda: next(told, memory.WORTHWHILE), lambda: seen.append(cached().currsize))
    )
    async with asyncio.timeout(5):
        await collected.wait()
    task.cancel()
    assert cached().currsize == 0
    assert seen == [1], "connections come first, and once"


async def test_nothing_is_done_while_objects_still_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CALM_SECONDS", 0.001)
    looks: list[int] = []
    collected: list[int] = []
    enough = asyncio.Event()

    def deletions() -> int:
        looks.append(1)
        if len(looks) > 10:
            enough.set()
        return len(looks) * memory.WORTHWHILE

    monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
    task = asyncio.create_task(memory.give_back(deletions, nothing))
    async with asyncio.timeout(20):
        await enough.wait()
    task.cancel()
    assert not collected


def test_a_c_library_without_a_function_is_left_alone() -> None:
    assert memory._from_c("no_such_function_of_any_library")(0) is None


def test_nothing_is_kept_of_resources_that_were_read() -> None:
    read(raw("first"))
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(300):
        read(raw(f"llm-{number:04d}"))
    gc.collect()
    assert sys.getallocatedblocks() - before < 100
