"""What decides the weights of a resource's zones, gathered from pods, launchers and the live route."""

from collections.abc import Iterable, Mapping, Sequence

from trireme_operator.api.labels import ANNOTATION_TRAFFIC, LABEL_ROTATION
from trireme_operator.controller.causes import is_ready
from trireme_operator.controller.groups import Group
from trireme_operator.controller.scope import Scope
from trireme_operator.controller.times import seconds
from trireme_operator.kube import HTTP_ROUTE, Obj
from trireme_operator.planning import ClusterPlan, Hold, LiveTraffic, Pace, ZoneFacts
from trireme_operator.planning.pace import decode


def live_traffic(scope: Scope, wanted: ClusterPlan) -> LiveTraffic | None:
    """What the live route says now: the memory of which zone was out of traffic. None without a route."""
    route = scope.children.get(HTTP_ROUTE, wanted.route_name)
    if route is None:
        return None
    by_service = {zone.service_name: zone.name for zone in wanted.zones}
    backends = [ref for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or []]
    weights = {by_service[ref["name"]]: int(ref.get("weight", 1)) for ref in backends if ref.get("name") in by_service}
    return LiveTraffic(weights, decode((route["metadata"].get("annotations") or {}).get(ANNOTATION_TRAFFIC)))


def zone_facts(groups: Sequence[Group], pace: Pace, *, now: int, hold: Hold | None = None) -> ZoneFacts:
    """One zone; `now` in seconds since the epoch."""
    ready = [group for group in groups if group.ready]
    waits = [max(0, pace.dwell - (now - _ready_since(group, now))) for group in ready]
    return ZoneFacts(
        ready=len(ready),
        settled=sum(wait == 0 for wait in waits),
        settles=min((wait for wait in waits if wait > 0), default=None),
        was_ready=any(_was_ready(pod) for group in groups for pod in _serving(group.pods)),
        hold=hold,
    )


def _ready_since(group: Group, now: int) -> int:
    """When the last of its serving pods became ready; what is not known was long ago, and nothing is in the future."""
    moments = [seconds(_condition(pod, "Ready").get("lastTransitionTime")) for pod in _serving(group.pods)]
    return min(now, max((moment for moment in moments if moment is not None), default=0))


def _serving(pods: Iterable[Obj]) -> list[Obj]:
    found = tuple(pods)
    return [pod for pod in found if pod is found[0] or LABEL_ROTATION in (pod["metadata"].get("labels") or {})]


def _was_ready(pod: Obj) -> bool:
    """Whether the pod is ready, or was: what never was has been unready since before its containers began."""
    if is_ready(pod):
        return True
    ready, begun = _condition(pod, "Ready"), _condition(pod, "Initialized")
    if ready.get("status") == "True":
        return True  # it is being deleted
    since, began = seconds(ready.get("lastTransitionTime")), seconds(begun.get("lastTransitionTime"))
    return since is not None and began is not None and begun.get("status") == "True" and since > began


def _condition(pod: Obj, kind: str) -> Mapping[str, str]:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item.get("type") == kind), {})
