"""Python's garbage collector, kept from looking at what an engine is made of; imported when a process starts.

An import of vLLM makes a million objects and no garbage, and took 4 s of a processor to look at them: while it is
imported, when vLLM sets aside what it has loaded, and once more when the process ends. Here a collection in a process's
first minutes sets aside all that there is, and then has nothing to look at. Garbage of those minutes stays, later
garbage is collected.
"""

from __future__ import annotations

import atexit
import gc
import time

START_SECONDS = 300.0
_started = time.monotonic()


def set_aside(phase: str, _: dict[str, int]) -> None:
    if phase == "start" and time.monotonic() - _started < START_SECONDS:
        gc.freeze()


gc.callbacks.append(set_aside)
atexit.register(gc.freeze)
