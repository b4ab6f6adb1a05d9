"""What a preflight found, and what the launchers of a group tell each other while it runs: JSON of ``/statusz``.

Another launcher may be of another release: what is missing in its words is read as "not yet", what is unknown is
left out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GIGA = 10**9


class Name(str, enum.Enum):
    """What is checked."""

    PORTS = "ports"
    DEVICES = "devices"
    MEMORY = "memory"
    SHARED_MEMORY = "sharedMemory"
    DNS = "dns"
    ALL_REDUCE = "allReduce"
    PAIRWISE = "pairwise"


class Program(str, enum.Enum):
    """How far the measuring processes of a pod are; the least of them counts."""

    NONE = "None"
    STARTING = "Starting"
    READY = "Ready"
    UNAVAILABLE = "Unavailable"
    RUNNING = "Running"
    FAILED = "Failed"
    DONE = "Done"


class Order(str, enum.Enum):
    """What the leader asks of all pods: wait, measure, do without, or end what runs."""

    WAIT = "Wait"
    MEASURE = "Measure"
    SKIP = "Skip"
    STOP = "Stop"


@dataclass(frozen=True)
class Check:
    """One thing that was checked: on a pod, or between a pod and its peer.

    ``value`` and ``threshold`` in ``unit``; ``latency`` in seconds, of a pair; ``reason`` says why it failed, or why
    there is no value.
    """

    name: str
    passed: bool
    pod: str
    node: str = ""
    peer: str | None = None
    value: float | None = None
    unit: str = ""
    threshold: float | None = None
    reason: str = ""
    latency: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "passed": self.passed,
            "pod": self.pod,
            "node": self.node,
            "peer": self.peer,
            "value": self.value,
            "unit": self.unit,
            "threshold": self.threshold,
            "reason": self.reason,
            "latencyMicroseconds": None if self.latency is None else round(self.latency * 1e6, 1),
        }

    def where(self) -> str:
        """The pod and its node, or the link, for people."""
        pod = f"{self.pod} on node {self.node}" if self.node else self.pod
        return f"{pod} to {self.peer}" if self.peer else pod

    def sentence(self) -> str:
        """What is wrong, and where."""
        if self.name == Name.ALL_REDUCE.value and self.value is not None:
            return f"{self.name} over all ranks: {self.reason}"  # one pod says it, and it is of the whole group
        return f"{self.name} of {self.where()}: {self.reason}"


@dataclass(frozen=True)
class Place:
    """Where a pod of the group listens; port -1 when it does not."""

    pod: str
    address: str
    port: int

    def as_json(self) -> dict[str, Any]:
        return {"pod": self.pod, "address": self.address, "port": self.port}


@dataclass(frozen=True)
class Exchange:
    """What one launcher tells the others.

    epoch: which preflight this is: the leader's UID and a number. port: where it listens, 0 = not yet. connected: its
    connections are tried; reached: all of them succeeded. pods, order: the leader's, by index.
    """

    epoch: str = ""
    port: int = 0
    connected: bool = False
    reached: bool = False
    program: Program = Program.STARTING
    why: str = ""
    done: bool = False
    pods: tuple[Place, ...] = ()
    order: Order = Order.WAIT

    def as_json(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "port": self.port,
            "connected": self.connected,
            "reached": self.reached,
            "program": self.program.value,
            "why": self.why,
            "done": self.done,
            "pods": [place.as_json() for place in self.pods],
            "order": self.order.value,
        }


@dataclass(frozen=True)
class Report:
    """One pod's preflight; on a leader the group's. ``passed`` is None while it runs; ``seconds`` since its start."""

    mode: str
    passed: bool | None
    seconds: float
    checks: tuple[Check, ...] = ()
    exchange: Exchange = field(default_factory=Exchange)

    def as_json(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "passed": self.passed,
            "seconds": round(self.seconds, 1),
            "checks": [check.as_json() for check in self.checks],
            "exchange": self.exchange.as_json(),
        }


@dataclass(frozen=True)
class Other:
    """Another pod of the group as it was heard last."""

    pod: str
    pod_uid: str
    address: str
    report: Report | None


def failures(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if not check.passed]


def parse(document: object) -> Report | None:
    """Another launcher's report; None where it has none, or one that cannot be read."""
    if not isinstance(document, Mapping):
        return None
    try:
        return Report(
            mode=str(document["mode"]),
            passed=document["passed"],
            seconds=float(document["seconds"]),
            checks=tuple(_check(each) for each in document["checks"]),
            exchange=_exchange(document["exchange"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _check(document: Mapping[str, Any]) -> Check:
    latency = document.get("latencyMicroseconds")
    return Check(
        name=str(document["name"]),
        passed=bool(document["passed"]),
        pod=str(document["pod"]),
        node=str(document.get("node") or ""),
        peer=document.get("peer"),
        value=document.get("value"),
        unit=str(document.get("unit") or ""),
        threshold=document.get("threshold"),
        reason=str(document.get("reason") or ""),
        latency=None if latency is None else float(latency) / 1e6,
    )


def _exchange(document: Mapping[str, Any]) -> Exchange:
    return Exchange(
        epoch=str(document["epoch"]),
        port=int(document.get("port", 0)),
        connected=bool(document.get("connected")),
        reached=bool(document.get("reached")),
        program=Program(document.get("program", Program.STARTING)),
        why=str(document.get("why", "")),
        done=bool(document.get("done")),
        pods=tuple(Place(str(each["pod"]), str(each["address"]), int(each["port"])) for each in document["pods"]),
        order=Order(document.get("order", Order.WAIT)),
    )
