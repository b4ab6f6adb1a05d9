"""One drill: traffic flows, something is broken, everything is recorded until all is whole again."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from e2e import api
from e2e.drills import timeline
from e2e.drills.events import Drill
from e2e.drills.judge import Budget, Measured, Result, judge, last_failed, longest_silence
from e2e.drills.record import Recorder
from e2e.drills.target import BROKEN_ZONE, OTHER_ZONE, Engine, Target
from e2e.drills.traffic import Request, Traffic

_STEADY_SECONDS = 2.0
_AFTER_SECONDS = 3.0
_PER_SECOND = {Engine.DOUBLE: 10, Engine.VLLM: 5}
_BUDGETS = {
    Engine.DOUBLE: Budget(),
    # How long loading takes is the machine's affair, and requests wait for processors while a model loads.
    Engine.VLLM: Budget(recovered_seconds=None, longest_silence_seconds=None),
}


def run(drill: Drill, target: Target) -> Result:
    """Bounded in time: waits for at most four minutes and three times the engine's load.

    A drill that could not be carried out has failed, and says why.
    """
    budget = _BUDGETS[target.engine]
    if not drill.needs_operator:
        # Without the operator a zone keeps its share of requests, as errors, until the kubelet starts it again.
        budget = replace(budget, last_failed_seconds=None)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        measured, words = _measure(drill, target)
    except (OSError, api.ApiError) as error:
        return Result(drill.name, target.engine, at, Measured(), budget, (f"the drill was broken off: {error}",))
    why = judge(measured, budget, cause_words=words, weight_must_move=drill.needs_operator)
    return Result(drill.name, target.engine, at, measured, budget, why)


def _measure(drill: Drill, target: Target) -> tuple[Measured, tuple[str, ...]]:
    """What happened, and the words that its first cause must have."""
    target.wait_until_whole()
    broken, other = target.group(BROKEN_ZONE), target.group(OTHER_ZONE)
    with ExitStack() as stack:
        traffic = stack.enter_context(
            Traffic(target.socket, target.host(), target.name, per_second=_PER_SECOND[target.engine])
        )
        pods = stack.enter_context(Recorder(target.kube, target.watch_path("api/v1/pods")))
        status = stack.enter_context(
            Recorder(target.kube, target.watch_path("apis/trireme.dev/v1alpha1/inferenceclusters"))
        )
        routes = stack.enter_context(
            Recorder(target.kube, target.watch_path("apis/gateway.networking.k8s.io/v1/httproutes"))
        )
        _wait_for_steady(traffic)
        old, left_alone = _uids(broken), _uids(other)
        event = drill.act(target, broken)
        whole = _wait_for_recovery(target, pods, old, event)
        time.sleep(_AFTER_SECONDS)
        traffic.stop()
        said = timeline.said_by_status(status.seen, event)
        requests = traffic.requests
        measured = Measured(
            requests=len(requests),
            failed=sum(bool(request.fault) for request in requests),
            out_of_rotation_seconds=_after(
                event, timeline.out_of_rotation(pods.seen, broken[0]["metadata"]["uid"], event)
            ),
            recovered_seconds=_after(event, timeline.recovered(pods.seen, BROKEN_ZONE, old, event)),
            last_failed_seconds=last_failed(requests, event),
            longest_silence_seconds=longest_silence(requests, event),
            weight_moved_seconds=_after(event, timeline.weight_moved(routes.seen, BROKEN_ZONE, event)),
            whole_again=whole,
            first_cause=said or timeline.termination(pods.seen, old, event),
            cause_in_status=bool(said),
            other_zone=timeline.disturbed(pods.seen, OTHER_ZONE, left_alone, event),
            faults=_ways(requests),
        )
    words = (drill.cause[0], broken[drill.cause[1]]["metadata"]["name"]) if drill.cause else ()
    return measured, words


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


def _wait_for_recovery(target: Target, pods: Recorder, old: frozenset[str], event: float) -> bool:
    try:
        api.wait_until(
            lambda: timeline.recovered(pods.seen, BROKEN_ZONE, old, event),
            timeout_seconds=60 + target.load_seconds,
            what="the group to be whole again",
        )
        target.wait_until_whole()
    except TimeoutError:
        return False
    return True


def _uids(group: list[api.Obj]) -> frozenset[str]:
    return frozenset(str(pod["metadata"]["uid"]) for pod in group)


def _after(event: float, at: float | None) -> float | None:
    return None if at is None else round(at - event, 2)


def _ways(requests: tuple[Request, ...]) -> tuple[str, ...]:
    return tuple(sorted({request.fault for request in requests if request.fault}))[:5]
