"""The process that holds the driver's library and tells of the devices: JSON, a line each time.

``{"readings": [...]}``, or ``{"over": reason}`` as the last word where there is nothing to read, now or later; the
reason is empty without the library.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from trireme_runtime.accelerators.session import Session
from trireme_runtime.preflight import devices
from trireme_runtime.preflight.devices import Device, DriverError, MissingLibraryError

INTERVAL_SECONDS = 5.0


def main(arguments: Sequence[str]) -> None:
    """``arguments``: the pod's ranks by their numbers in the group, in the order of its visible devices."""
    tell(said([int(rank) for rank in arguments], os.environ))


def tell(lines: Iterator[Mapping[str, Any]]) -> None:
    """Say them until there are no more, or nobody listens."""
    with contextlib.suppress(BrokenPipeError):
        for line in lines:
            os.write(1, json.dumps(line).encode() + b"\n")


def said(
    ranks: Sequence[int],
    variables: Mapping[str, str],
    *,
    find: Callable[[], list[Device]] = devices.read,
    load: Callable[[], Any] = lambda: ctypes.CDLL(devices.LIBRARY),
    interval_seconds: float = INTERVAL_SECONDS,
) -> Iterator[dict[str, Any]]:
    """What there is to say, when it is time to say it."""
    try:
        found = devices.visible(find(), variables)[: len(ranks)]
        session = Session(load(), found) if found else None
    except MissingLibraryError:
        session = None
    except (DriverError, OSError, AttributeError) as error:
        yield {"over": str(error)}
        return
    if session is None:
        yield {"over": ""}
        return
    while True:
        yield {"readings": [asdict(session.read(rank, index)) for index, rank in enumerate(ranks[: len(found)])]}
        session.wait(interval_seconds)
