"""What is remembered of a zone's groups, and how the status tells those that failed.

The pods that failed are gone within two seconds: LeaderWorkerSet deletes them. So the first cause is written into an
annotation of the zone's LeaderWorkerSet as soon as it is seen, by a field manager of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from trireme_operator.api import Reason
from trireme_operator.api.labels import ANNOTATION_HISTORY, FIELD_MANAGER_HISTORY
from trireme_operator.api.pod_overlay import ENGINE
from trireme_operator.api.status import FailureStatus
from trireme_operator.controller.autoscaling import last_decision
from trireme_operator.controller.causes import Cause, Stage
from trireme_operator.controller.first_cause import failures_of
from trireme_operator.controller.groups import Group
from trireme_operator.controller.scope import ChildError, Scope
from trireme_operator.controller.times import timestamp
from trireme_operator.kube import LEADER_WORKER_SET, Conflict, KubeError, NotFound, Obj
from trireme_operator.planning import (
    ClusterPlan,
    Decision,
    Failure,
    History,
    Permit,
    RestartPolicy,
    decide,
    permit,
)
from trireme_operator.planning.history import OOM_KILLED, encode, parse, remember
from trireme_operator.rendering.engine import PERMIT_URL

MOST_TOLD = 4
"""Groups whose failure the status of a zone tells."""


@dataclass(frozen=True)
class Past:
    """What is remembered of a zone, and what follows for its groups at `now` (seconds since the epoch).

    `asks`: the launchers of the zone ask before they start, so that a group can be held.
    """

    name: str
    history: History
    policy: RestartPolicy
    now: int
    asks: bool = False

    def permit(self, group: int, revision: str = "") -> Permit:
        """May the group of this template start now?"""
        times = self.history.times(group, revision)
        return permit(times, self.policy, now=self.now, group=f"{self.name}-{group}")


async def keep_pasts(scope: Scope, wanted: ClusterPlan, *, now: int) -> dict[str, Past]:
    """Write down what is seen and not yet remembered: failures, and decisions of autoscalers.

    Returns what is remembered, by LeaderWorkerSet.
    """
    found = {}
    for zone in wanted.zones:
        live = scope.children.get(LEADER_WORKER_SET, zone.lws_name)
        history = await _keep(scope, live, now, last_decision(scope, zone)) if live is not None else History()
        asks = live is not None and _asks(live)
        found[zone.lws_name] = Past(zone.lws_name, history, wanted.restarts, now, asks)
    return found


def recall(live: Obj) -> History:
    """What the annotation of a LeaderWorkerSet says."""
    return parse((live["metadata"].get("annotations") or {}).get(ANNOTATION_HISTORY))


async def _keep(scope: Scope, live: Obj, now: int, decision: Decision | None) -> History:
    before = after = recall(live)
    name = live["metadata"]["name"]
    for failure in failures_of(name, (*scope.children.pods, *scope.children.gone)):
        # The clock of a node may be ahead, and a failure without a time happened just now.
        after = remember(after, replace(failure, time=min(failure.time or now, now)))
    if decision is not None:
        after = decide(after, decision)
    text = encode(after)
    after = parse(text)  # as the next reconcile will find it
    if after == before or live["metadata"].get("deletionTimestamp"):
        return after
    metadata = {key: live["metadata"][key] for key in ("name", "namespace", "uid")}
    metadata["annotations"] = {ANNOTATION_HISTORY: text}
    kind = LEADER_WORKER_SET
    if after.failures != before.failures:
        last = after.failures[-1]
        structlog.get_logger().warning("A group failed", child=name, group=last.group, pod=last.pod, cause=last.cause)
    try:
        applied = await scope.api.apply(
            kind,
            {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata},
            manager=FIELD_MANAGER_HISTORY,
        )
    except (NotFound, Conflict):
        return after  # the set was deleted, and its memory with it
    except KubeError as error:
        scope.errors.append(ChildError(kind, name, error))
        return after
    scope.children.put(kind, applied)
    return after


def _asks(live: Obj) -> bool:
    """Whether the pods' launchers were told whom to ask: those of an older template were not."""
    template = live["spec"]["leaderWorkerTemplate"].get("leaderTemplate") or {}
    containers = (template.get("spec") or {}).get("containers") or []
    variables = [item for each in containers if each.get("name") == ENGINE for item in each.get("env") or []]
    return any(item.get("name") == PERMIT_URL for item in variables)


def with_past(group: Group, past: Past) -> Group:
    """The group, told with its failures where it is not ready and nothing else is in its way."""
    failure = past.history.of(group.index)
    if group.cause is None or group.cause.reason is not Reason.STARTING or failure is None:
        return group
    allowed = past.permit(group.index, group.revision)
    if not allowed.failures:
        return group
    if allowed.held and past.asks:
        return replace(group, cause=_held(failure, allowed, past.policy))
    count = _times(allowed.failures)
    text = f"{sentence(failure)}; failed {count} within {past.policy.window} s and is started again"
    return replace(group, cause=Cause(group.cause.stage, Reason.POD_FAILING, text))


def _held(failure: Failure, allowed: Permit, policy: RestartPolicy) -> Cause:
    until = timestamp(allowed.until or 0)
    text = (
        f"held after {allowed.failures} failures within {policy.window} s, next try at {until}: "
        f"{sentence(failure)}; correct the cause, or raise spec.restarts.limit; a new template starts at once"
    )
    return Cause(Stage.HELD, Reason.HELD, text)


def sentence(failure: Failure) -> str:
    """The cause, what was said of it, and the way out where there is one."""
    # A launcher that saw it names the limit and the way out itself.
    untold = failure.reason == OOM_KILLED and "spec.resources" not in failure.message
    way_out = ": raise spec.resources.limits.memory" if untold else ""
    said = f": {failure.message}" if failure.message and not way_out else ""
    lines = f"; last lines: {' | '.join(failure.log)}" if failure.log else ""
    return f"{failure.cause}{way_out}{said}{lines}"


def told(past: Past) -> list[FailureStatus] | None:
    """The last failure of each group, for the status; None when no group ever failed."""
    last = {failure.group: failure for failure in past.history.failures}
    latest = sorted(last.values(), key=lambda failure: (-failure.time, failure.group))[:MOST_TOLD]
    return [_told(past, failure) for failure in latest] or None


def _told(past: Past, failure: Failure) -> FailureStatus:
    times = past.history.times(failure.group, failure.revision)
    count = sum(failure.time - past.policy.window < time <= failure.time for time in times)
    until = past.permit(failure.group, failure.revision).until
    return FailureStatus(
        group=failure.group,
        pod=failure.pod,
        cause=failure.cause,
        message=failure.message or None,
        log=list(failure.log) or None,
        time=timestamp(failure.time),
        count=max(1, count),
        next_try=None if until is None else timestamp(until),
    )


def next_try(pasts: Mapping[str, Past]) -> int | None:
    """Seconds until a group that may not start now may; None when every group may."""
    waits = [
        allowed.until - past.now
        for past in pasts.values()
        for group in past.history.groups
        if (allowed := past.permit(group)).until is not None
    ]
    return min(waits, default=None)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
