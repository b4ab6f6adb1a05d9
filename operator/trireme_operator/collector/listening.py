"""What can be told of a zone from whether its leaders' launchers answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listening:
    """What is heard of some leaders, in seconds.

    ``asked``: since one of them is asked. ``heard``: since the last answer of any of them, None when there never was
    one. ``steady``: for how long one of them has answered each time, None while all are silent. ``silence``: for how
    long all of them are, None while one is not.
    """

    asked: float
    heard: float | None
    steady: float | None
    silence: float | None
