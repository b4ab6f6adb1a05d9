"""One drill: traffic flows, something is broken, everything is recorded until all is whole again."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from e2e import api
from e2e.drills import timeline
from e2e.drills.drill import SLOW, Drill, Scene
from e2e.drills.judge import Budget, Measured, Must, Result, judge, last_failed, longest_silence
from e2e.drills.record import Record, Recorder
from e2e.drills.target import Engine, Site, Target
from e2e.drills.timeline import Pods
from e2e.drills.traffic import Request, Traffic

_STEADY_SECONDS = 2.0
_AFTER_SECONDS = 3.0
_NODE_LOST = "NodeLost"


def budget_of(drill: Drill, engine: Engine) -> Budget:
    """What the drill allows with this engine."""
    budget = replace(Budget(), **drill.limits)
    if engine is Engine.DOUBLE:
        return budget
    # How long loading takes is the machine's affair, and requests wait for processors while a model loads.
    return replace(budget, recovered_seconds=None, longest_silence_seconds=None)


def run(drill: Drill, site: Site, engine: Engine) -> Result:
    """Bounded in time: waits for at most its budget, some minutes and three times the engine's load.

    A drill that could not be carried out has failed, and says why.
    """
    budget = budget_of(drill, engine)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        measured, words = _measure(drill, site.target(drill.layout), budget)
    except (OSError, RuntimeError, ValueError, api.ApiError) as error:
        # A command's whole line and what it printed are for the log: the record is kept, and read elsewhere.
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        return Result(drill.name, engine, at, Measured(), budget, (f"the drill was broken off: {reason}",))
    must = Must(max(1, drill.requests), words, drill.weight_moves, drill.stays_out_seconds)
    return Result(drill.name, engine, at, measured, budget, judge(measured, budget, must))


@dataclass(frozen=True)
class _Tape:
    """Everything that is recorded while a drill runs."""

    traffic: Traffic
    pods: Recorder
    status: Recorder
    routes: Recorder

    @property
    def record(self) -> Record:
        """What was seen so far."""
        return Record(self.pods.seen, self.routes.seen)


def _measure(drill: Drill, target: Target, budget: Budget) -> tuple[Measured, tuple[str, ...]]:
    """What happened, and the words that its first cause must have."""
    target.wait_until_whole()
    target.forget_failures()
    drill.prepare(target)
    target.wait_until_whole()
    scene = _scene(drill, target)
    with ExitStack() as stack:
        stack.callback(drill.undo, scene)
        tape = _record(drill, target, stack)
        _wait_for_steady(tape.traffic)
        _wait_for_requests(drill, tape.traffic, drill.before)
        clock = time.time()
        event = drill.act(scene)
        drill.follow(scene)
        found = _wait_for_outcome(drill, scene, tape, event, limit=budget.recovered_seconds)
        _wait_for_requests(drill, tape.traffic, drill.requests)
        time.sleep(_AFTER_SECONDS)
        tape.traffic.stop()
        measured = _read(drill, scene, tape, event, clock)
    whole = found and _is_whole(target)
    return replace(measured, whole_again=whole), drill.cause.wanted(scene.group) if drill.cause else ()


def _scene(drill: Drill, target: Target) -> Scene:
    group, every = target.group(drill.broken), target.pods()
    own = {pod["metadata"]["uid"] for pod in group}
    others = [pod for pod in every if pod["metadata"]["uid"] not in own] if drill.leave_others else []
    return Scene(target, tuple(group), Pods.of(every), Pods.of(others))


def _record(drill: Drill, target: Target, stack: ExitStack) -> _Tape:
    shape = drill.shape or SLOW[target.engine]
    watched = [
        stack.enter_context(Recorder(target.kube, target.watch_path(path)))
        for path in (
            "api/v1/pods",
            "apis/trireme.dev/v1alpha1/inferenceclusters",
            "apis/gateway.networking.k8s.io/v1/httproutes",
        )
    ]
    traffic = stack.enter_context(Traffic(target.cluster, target.url, target.host(), target.name, shape))
    return _Tape(traffic, *watched)


def _read(drill: Drill, scene: Scene, tape: _Tape, event: float, clock: float) -> Measured:
    """``clock`` is the time of day of the event, at the latest."""
    record, requests = tape.record, tape.traffic.requests
    pods, routes = record.pods, record.routes
    last, fault = last_failed(requests, event)
    said = timeline.said_by_status(tape.status.seen, drill.broken, clock)
    leader = scene.leader["metadata"]["uid"]
    return Measured(
        requests=len(requests),
        failed=sum(bool(request.fault) for request in requests),
        out_of_rotation_seconds=_after(event, timeline.out_of_rotation(pods, leader, event)),
        recovered_seconds=_after(event, drill.outcome(record, scene, event)),
        last_failed_seconds=last,
        last_fault=fault,
        longest_silence_seconds=longest_silence(requests, event),
        ended_seconds=_after(event, timeline.ended(pods, scene.pods, event)),
        weight_moved_seconds=_after(event, timeline.weight_moved(routes, drill.broken[0], event)),
        weight_back_seconds=_after(event, timeline.weight_back(routes, drill.broken[0], event)),
        zones_out=timeline.zones_out(routes, event),
        returns=timeline.returns(routes, event),
        node_lost_seconds=_after(event, timeline.said_reason(tape.status.seen, _NODE_LOST, event)),
        first_cause=said or timeline.termination(pods, scene.pods.uids, event),
        cause_in_status=bool(said),
        others=timeline.disturbed(pods, scene.others, event),
        faults=_ways(requests),
    )


def _wait_for_steady(traffic: Traffic) -> None:
    """Until requests were answered without a failure for a while. Raises TimeoutError with the last failure."""

    def steady() -> bool:
        recent = [request for request in traffic.requests if request.ended > time.monotonic() - _STEADY_SECONDS]
        return len(recent) > _STEADY_SECONDS and not any(request.fault for request in recent)

    time.sleep(_STEADY_SECONDS)
    try:
        api.wait_until(steady, timeout_seconds=60, what="requests to be answered")
    except TimeoutError as error:
        raise TimeoutError(f"{error}; failures: {'; '.join(_ways(traffic.requests)) or 'none'}") from error


def _wait_for_outcome(drill: Drill, scene: Scene, tape: _Tape, event: float, *, limit: float | None) -> bool:
    """Longer than the limit allows, so that what is late is measured too."""
    try:
        api.wait_until(
            lambda: drill.outcome(tape.record, scene, event) is not None,
            timeout_seconds=max(0.0, event + (limit or 0.0) - time.monotonic()) + 60 + scene.target.load_seconds,
            what="the group to be whole again",
        )
    except TimeoutError:
        return False
    return True


def _wait_for_requests(drill: Drill, traffic: Traffic, count: int) -> None:
    """Until so many were answered. Raises TimeoutError when that takes far longer than it should."""
    if drill.shape is not None:
        seconds = count / drill.shape.per_second
        api.wait_until(
            lambda: len(traffic.requests) >= count, timeout_seconds=60 + 2 * seconds, what=f"{count} requests"
        )


def _is_whole(target: Target) -> bool:
    try:
        target.wait_until_whole()
    except TimeoutError:
        return False
    return True


def _after(event: float, at: float | None) -> float | None:
    return None if at is None else round(at - event, 2)


def _ways(requests: tuple[Request, ...]) -> tuple[str, ...]:
    return tuple(sorted({request.fault for request in requests if request.fault}))[:5]
