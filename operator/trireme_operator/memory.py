"""Settings of the C library's allocator, and of the collector, for a process that should stay small."""

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 256 * 1024


def stay_small() -> None:
    """Give large blocks back when they are freed, and leave what the imports made alone.

    A page of a list is some megabytes, which glibc would otherwise keep after the first one; each thread would get an
    arena of its own. A C library without these settings is left as it is.
    """
    gc.collect()
    gc.freeze()
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for setting, value in (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_THRESHOLD, _LARGE_BYTES),
        (_M_TRIM_THRESHOLD, _LARGE_BYTES),
    ):
        tune(setting, value)
