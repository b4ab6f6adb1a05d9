"""One other pod of the group as its heartbeats show it: unknown, alive, silent or dead.

Who it is, is decided by address and epoch. The address is the one that its LeaderWorkerSet name leads to (peer.py). The
epoch is the UID of the leader that started the engines together: a pod joins when it first says that its engine runs
in this epoch, and from then on only this pod, in this epoch, with this engine counts. What is proven dead stays dead:
an engine that left its group can not come back to it.

Silence is judged by two limits. After the first the pod is out of the count, and back with the next beat: a short cut
of the network must not throw away half an hour of loading. After the second it is lost, and the group ends.
"""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass

from trireme_runtime.members import Member
from trireme_runtime.pulse import SILENT_SECONDS, Pulse
from trireme_runtime.stage import Stage
from trireme_runtime.termination import Cause

LOST_SECONDS = 30.0
PROOFS = 2
"""Refusals in a row that prove a death: one may be a hiccup of the network, and the second is asked for at once."""


class State(str, enum.Enum):
    """What /statusz shows of a member."""

    UNKNOWN = "Unknown"
    ALIVE = "Alive"
    SILENT = "Silent"
    DEAD = "Dead"


@dataclass(frozen=True)
class Thresholds:
    """Seconds of silence after which a member takes its group out of rotation, and after which the group ends."""

    silent: float = SILENT_SECONDS
    lost: float = LOST_SECONDS


@dataclass(frozen=True)
class Place:
    """Which pod of the group: its index, its name, the first of its ranks."""

    index: int
    pod: str = ""
    rank: int | None = None

    def __str__(self) -> str:
        return f"worker {self.index}" if self.index else "the leader"


@dataclass(frozen=True)
class Loss:
    """A member that is gone for good, by proof or because it has been silent for too long.

    orderly: it was draining, so that its end is no failure of its own.
    cause: what it reported itself before it went.
    """

    place: Place
    why: str
    orderly: bool = False
    cause: Cause | None = None

    def __str__(self) -> str:
        return f"{self.place} {self.why}"


class Membership:
    """Fed by the thread that asks the pod, read by the main loop; every time is given, on the monotonic clock."""

    def __init__(self, place: Place, thresholds: Thresholds) -> None:
        self.place = place
        self.pulse = Pulse(str(place), silent_seconds=thresholds.silent)
        self._thresholds = thresholds
        self._lock = threading.Lock()
        self._latest: Member | None = None
        self._epoch: str | None = None
        self._joined: str | None = None
        self._death: Loss | None = None

    @property
    def latest(self) -> Member | None:
        """Its last answer, from whatever pod was found under its name."""
        return self._latest

    @property
    def death(self) -> Loss | None:
        """The proof, once there is one."""
        return self._death

    @property
    def joined(self) -> bool:
        """Whether its engine has run in this epoch."""
        return self._joined is not None

    def begin(self, epoch: str) -> None:
        """The engines start: from here on only a pod of this epoch can join, and once it has, no other."""
        with self._lock:
            self._epoch = epoch
            if self._latest is not None:
                self._consider(self._latest)

    def beat(self, said: Member, now: float) -> None:
        """An answer of the pod that its name leads to."""
        with self._lock:
            self._latest = said
            self._consider(said)
        self.pulse.beat(now)

    def miss(self, why: str) -> None:
        """No answer in time."""
        self.pulse.miss(why)

    def refuse(self, why: str) -> None:
        """A proof that the pod does not serve: its port is closed, or its name is gone."""
        self.pulse.refuse(why)
        with self._lock:
            if self._joined is not None and self.pulse.refusals >= PROOFS:
                self._die(f"is gone: {why}")

    def state(self, now: float) -> State:
        if self._death is not None:
            return State.DEAD
        if self._latest is None:
            return State.UNKNOWN
        return State.SILENT if self.pulse.trouble(now) else State.ALIVE

    def trouble(self, now: float) -> str:
        """Why it does not count now, whoever it is; empty when it answers."""
        return str(self._death) if self._death is not None else self.pulse.trouble(now)

    def lost(self, now: float) -> Loss | None:
        """Without a proof: the pod that joined has been silent for too long."""
        if self._joined is None or self._death is not None or self.pulse.silent_for(now) <= self._thresholds.lost:
            return None
        return self._loss(f"has been silent for more than {self._thresholds.lost:g} s")

    def _consider(self, said: Member) -> None:
        if self._epoch is None or self._death is not None:
            return
        # A launcher that does not know of epochs names none.
        same_epoch = said.epoch in (None, self._epoch)
        if self._joined is None:
            if said.engine_running and same_epoch:
                self._joined = said.pod_uid
        elif said.pod_uid != self._joined:
            self._die("was replaced by another pod")
        elif said.stage == Stage.FAILED.value:
            self._die(f"has failed: {said.reason}", said.failure)
        elif not said.engine_running:
            self._die(f"runs no engine any more ({said.said})")
        elif not same_epoch:
            self._die("has joined another start of the group")

    def _die(self, why: str, cause: Cause | None = None) -> None:
        if self._death is None:
            self._death = self._loss(why, cause)

    def _loss(self, why: str, cause: Cause | None = None) -> Loss:
        orderly = self._latest is not None and self._latest.stage == Stage.DRAINING.value
        return Loss(self.place, why, orderly, cause)
