"""The driver asked once, by a process apart: its library would stay in the launcher's memory, and may hang."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict

from trireme_runtime.apart import Program
from trireme_runtime.preflight import devices
from trireme_runtime.preflight.devices import Device, DriverError, MissingLibraryError

ANSWER_SECONDS = 10.0
"""The driver of a broken device may never answer."""


def main(_: Sequence[str]) -> None:
    """Say what ``devices.read`` finds."""
    said: dict[str, object]
    try:
        said = {"devices": [asdict(device) for device in devices.read()]}
    except DriverError as error:
        said = {"missing" if isinstance(error, MissingLibraryError) else "broken": str(error)}
    os.write(1, json.dumps(said).encode() + b"\n")


def ask(answer_seconds: float = ANSWER_SECONDS) -> list[Device]:
    """As ``devices.read``; raises what that does, and DriverError when there is no answer."""
    try:
        said = Program(__name__).answer(answer_seconds)
    except TimeoutError:
        raise DriverError(f"the NVIDIA driver gives no answer within {answer_seconds:g} s") from None
    except OSError as error:
        raise DriverError(f"the process that asks the NVIDIA driver cannot be started: {error}") from None
    if said is None:
        raise DriverError("the process that asks the NVIDIA driver ended without an answer")
    if "missing" in said:
        raise MissingLibraryError(said["missing"])
    if "broken" in said:
        raise DriverError(said["broken"])
    return [Device(**each) for each in said["devices"]]
