"""Settings of the C library's allocator, and of the collector, for a process that should stay small.

Python gives memory back by arenas of a megabyte, and one small object that is still in use keeps an arena
(Objects/obmalloc.c). So what outlives a burst counts more than its size: see docs/benchmarks.md for what that was. The
operator's image brings another allocator (docs/adr/0014); the settings here are for a process without it.
"""

import asyncio
import ctypes
import functools
import gc
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 256 * 1024

_Cache = type(functools.lru_cache(len))

CALM_SECONDS = 0.25
"""Without a deletion for so long, and the last one is taken to be over."""
WORTHWHILE = 200
"""Fewer objects that are gone are not worth the milliseconds."""


def stay_small() -> None:
    """Give large blocks back when they are freed, and leave what the imports made alone.

    A page of a list is some megabytes, which glibc would otherwise keep after the first one; each thread would get an
    arena of its own. A C library without these settings is left as it is.
    """
    gc.collect()
    gc.freeze()
    tune = _from_c("mallopt")
    for setting, value in (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_THRESHOLD, _LARGE_BYTES),
        (_M_TRIM_THRESHOLD, _LARGE_BYTES),
    ):
        tune(setting, value)


async def give_back(deletions: Callable[[], int], close_idle: Callable[[], None]) -> None:
    """For ever: when many objects are gone, let go of what the burst left, and give the C library's free pages back.

    `deletions` counts since the start; `close_idle` closes the connections that no request uses, each of which is some
    hundreds of kB. Of each size up to 19, 2000 tuples that were freed are kept for the next ones, and each of them
    keeps the arena that it happens to be in; only a full collection frees them.
    """
    done = last = deletions()
    while True:
        await asyncio.sleep(CALM_SECONDS)
        before, last = last, deletions()
        if last == before and last - done >= WORTHWHILE:
            done = last
            close_idle()
            await asyncio.sleep(CALM_SECONDS)  # a TLS connection ends with an answer
            _empty_caches()
            gc.collect()
            _from_c("malloc_trim")(0)


def _empty_caches() -> None:
    """Those with a limit: of URLs, say, they hold the last hundred that were asked for, and fill again.

    By the very type, because to ask a thing that loads itself when it is looked at would load it.
    """
    for module in [each for each in sys.modules.values() if type(each) is ModuleType]:
        for cache in [each for each in vars(module).values() if type(each) is _Cache]:
            if cache.cache_parameters()["maxsize"] is not None:
                cache.cache_clear()


def _from_c(name: str) -> Callable[..., Any]:
    """A function of the C library; one that does nothing where there is none of the name."""
    try:
        found: Callable[..., Any] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return _nothing
    return found


def _nothing(*_: int) -> None:
    """Of another C library than glibc."""
