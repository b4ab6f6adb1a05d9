"""What each zone runs, from its children: what rollouts and drains are decided by."""

from collections.abc import Mapping
from dataclasses import replace

from trireme_operator.api.labels import ANNOTATION_REVISION, ANNOTATION_ROLLING_OUT, LABEL_ROTATION
from trireme_operator.controller.causes import worst
from trireme_operator.controller.groups import Group
from trireme_operator.controller.routes import is_taken_up
from trireme_operator.controller.scope import Scope, is_owned
from trireme_operator.controller.stalled import HeardFn
from trireme_operator.controller.times import seconds, timestamp
from trireme_operator.controller.traffic import live_traffic
from trireme_operator.kube import HTTP_ROUTE, LEADER_WORKER_SET, Obj
from trireme_operator.planning import ClusterPlan, LiveTraffic, ZonePlan, ZoneRun, whole_of

ASK_AGAIN_SECONDS = 3
"""While requests are waited for: launchers count them every three seconds, and nobody is told of it."""
COUNTED_SECONDS = 10
"""After a zone's last request may have come, so long until every launcher has counted it and was asked for it."""


def zone_runs(
    scope: Scope,
    wanted: ClusterPlan,
    groups: Mapping[str | None, tuple[Group, ...]],
    heard: HeardFn,
    *,
    leaving: frozenset[str | None],
    now: int,
) -> list[ZoneRun]:
    """Every zone of the plan, in its order; `leaving` are those that are to be drained or disabled.

    `now` in seconds since the epoch.
    """
    route, live = scope.children.get(HTTP_ROUTE, wanted.route_name), live_traffic(scope, wanted)
    taken_up = route is not None and is_taken_up(route)
    found = []
    for zone in wanted.zones:
        run = _run(scope, zone, groups[zone.name], leaving=zone.name in leaving)
        share, silent = _traffic(live, zone, now=now)
        unreached = taken_up and silent
        found.append(replace(run, share=share, unreached=unreached, running=running(groups[zone.name], heard)))
    return found


def revision_in(scope: Scope, zone: ZonePlan) -> str | None:
    """The revision that the zone's groups are made from; None without a LeaderWorkerSet of ours."""
    live = scope.children.get(LEADER_WORKER_SET, zone.lws_name)
    if live is None or not is_owned(live, scope.uid):
        return None
    found = (live["metadata"].get("annotations") or {}).get(ANNOTATION_REVISION)
    return None if found is None else str(found)


def is_updating(live: Obj) -> bool:
    """Whether groups are being replaced, or will be when LeaderWorkerSet has seen the latest template.

    Both are written in one update: sigs.k8s.io/lws v0.9.0, pkg/controllers/leaderworkerset_controller.go, updateStatus.
    """
    status = live.get("status") or {}
    conditions = status.get("conditions") or []
    if any(item.get("type") == "UpdateInProgress" and item.get("status") == "True" for item in conditions):
        return True
    observed = int(status.get("observedGeneration") or 0)
    return observed not in {0, int(live["metadata"].get("generation") or 0)}


def rolling_since(live: Obj) -> int | None:
    """When the template came that the set's groups are not yet known to have become ready with."""
    return seconds((live["metadata"].get("annotations") or {}).get(ANNOTATION_ROLLING_OUT))


def rolling_out(live: Obj | None, revision: str, *, proven: bool, now: int) -> str | None:
    """The mark that a LeaderWorkerSet is to carry when it is made from `revision`: when that came, until it is proven.

    A new set has none: nothing was there before it. Of one whose annotations were stripped nobody knows.
    """
    annotations = {} if live is None else live["metadata"].get("annotations") or {}
    if annotations.get(ANNOTATION_REVISION, revision) != revision:
        return timestamp(now)
    return None if proven else annotations.get(ANNOTATION_ROLLING_OUT)


def _run(scope: Scope, zone: ZonePlan, groups: tuple[Group, ...], *, leaving: bool) -> ZoneRun:
    """All but what the route and the launchers say."""
    live = scope.children.get(LEADER_WORKER_SET, zone.lws_name)
    has = (0 if leaving else zone.replicas) if live is None else int(live["spec"].get("replicas") or 0)
    cause = worst(group.cause for group in groups if group.cause is not None)
    return ZoneRun(
        name=zone.name,
        revision=revision_in(scope, zone),
        groups=has,
        needed=min(has, zone.base),
        ready=sum(group.ready for group in groups),
        updating=live is not None and is_updating(live),
        since=None if live is None else rolling_since(live),
        weight=zone.weight,
        most=zone.max_replicas,
        leaving=leaving,
        cause="" if cause is None else cause.message,
    )


def _traffic(live: LiveTraffic | None, zone: ZonePlan, *, now: int) -> tuple[int | None, bool]:
    """The zone's weight in the live route (None without one), and whether it has been 0 for long enough to count.

    Of a zone that has less because its queue is long: the weight that it would have without that.
    """
    if live is None:
        return None, False
    share, mark, part = live.weights.get(zone.name, 0), live.marks.get(zone.name), live.parts.get(zone.name)
    if part is not None:
        share = whole_of(share, part.percent)
    return share, share == 0 and (mark is None or now - mark.since >= COUNTED_SECONDS)


def running(groups: tuple[Group, ...], heard: HeardFn) -> int | None:
    """Unfinished requests of the ready groups, as far as their launchers count them; None when none of them does."""
    said = [heard(pod["metadata"]["uid"]) for group in groups if group.ready for pod in _serving(group)]
    counts = [each.requests for each in said if each is not None and each.requests is not None]
    return sum(counts) if counts else None


def _serving(group: Group) -> list[Obj]:
    return [pod for pod in group.pods if LABEL_ROTATION in (pod["metadata"].get("labels") or {}) or pod is group.leader]
