"""What a drill is: what is done to one group (or to the operator), and what must follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from e2e.api import Obj
from e2e.drills.client import Shape
from e2e.drills.record import Record
from e2e.drills.target import PAIR, Engine, Layout, Target
from e2e.drills.timeline import Group, Pods

SLOW = {Engine.DOUBLE: Shape(10), Engine.VLLM: Shape(5)}
"""What flows while something is broken: enough to see when answers stop, and little enough for a real model."""


@dataclass(frozen=True)
class Scene:
    """The target and the group that is broken, as it was before: its pods, the leader first."""

    target: Target
    group: tuple[Obj, ...]
    every: Pods
    """All pods of the resource as they were before."""
    others: Pods
    """Those that must be left alone."""

    @property
    def leader(self) -> Obj:
        return self.group[0]

    @property
    def worker(self) -> Obj:
        return self.group[1]

    @property
    def pods(self) -> Pods:
        return Pods.of(self.group)


Act = Callable[[Scene], float]
Step = Callable[[Scene], None]
Outcome = Callable[[Record, Scene, float], float | None]
"""When all was well again after an event, as pods and route tell; None while it is not."""


def nothing(_: Scene) -> None:
    """No step."""


@dataclass(frozen=True)
class Cause:
    """What the first cause must name: words, and a pod by its index in the group, where only one can be right."""

    words: tuple[str, ...]
    pod: int | None

    def wanted(self, group: Sequence[Obj]) -> tuple[str, ...]:
        """Everything that must stand in it."""
        named = () if self.pod is None else (str(group[self.pod]["metadata"]["name"]),)
        return (*self.words, *named)


@dataclass(frozen=True)
class Drill:
    """One way to break a group. ``act`` gives the time of the event (monotonic clock)."""

    name: str
    title: str
    act: Act
    outcome: Outcome
    cause: Cause | None = None
    """None where nothing fails."""
    layout: Layout = PAIR
    broken: Group = ("zone-a", 0)
    engines: frozenset[Engine] = frozenset(Engine)
    prepare: Callable[[Target], None] = lambda _: None
    """Before the group is looked at and traffic flows."""
    follow: Step = nothing
    """After the event: what takes time, such as mending it."""
    undo: Step = nothing
    """Whatever happened, when all is recorded."""
    limits: Mapping[str, float | None] = field(default_factory=dict)
    """Fields of the budget that differ from the usual ones."""
    shape: Shape | None = None
    """The requests, where they are not the usual ones."""
    requests: int = 0
    """At least so many."""
    before: int = 0
    """At least so many of them are answered before the event, so that long ones run when it comes."""
    leave_others: bool = True
    """Whether every other group must be left alone."""
    needs_operator: bool = True
    """Whether weights and status must follow while it runs."""
    weight_moves: bool = True
    """Whether the route must take the zone's weight away."""
    stays_out_seconds: float = 0.0
    """So long after the event the zone must have no traffic, at least."""
