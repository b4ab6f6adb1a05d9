"""The number of groups of each zone: what is observed of it, and the write that is due, if any.

The number is applied by a field manager of its own, so that the template can be applied again without touching it.
"""

import structlog

from trireme_operator import rendering
from trireme_operator.api.labels import FIELD_MANAGER_REPLICAS
from trireme_operator.controller.autoscaling import by_keda, keda_name, live_autoscaler
from trireme_operator.controller.children import ensure, prune
from trireme_operator.controller.routes import is_taken_up, weights_in
from trireme_operator.controller.scope import ChildError, Scope
from trireme_operator.kube import (
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    LEADER_WORKER_SET,
    SCALED_OBJECT,
    ApiMissing,
    Conflict,
    KubeError,
    NotFound,
    Obj,
)
from trireme_operator.planning import ClusterPlan, Regime, Scale, ZonePlan, replicas_to_apply


async def release(scope: Scope, wanted: ClusterPlan) -> None:
    """Delete the autoscalers of zones that have none now, before anything else writes their number of groups.

    Those of the other kind go with them. A HorizontalPodAutoscaler that there is stays while KEDA, which is to take
    its place, is not installed.
    """
    scaled = frozenset(zone.lws_name for zone in wanted.zones if zone.regime is Regime.AUTOSCALED)
    none: frozenset[str] = frozenset()
    keda = by_keda(scope.cluster)
    stays = not keda or SCALED_OBJECT in scope.children.missing
    await prune(scope, HORIZONTAL_POD_AUTOSCALER, scaled if stays else none)
    await prune(scope, SCALED_OBJECT, scaled if keda else none)


async def ensure_autoscaler(scope: Scope, wanted: ClusterPlan, zone: ZonePlan) -> None:
    """Bring the zone's autoscaler about, once no other one scales the same groups; the event of its end comes back."""
    keda = by_keda(scope.cluster)
    other = HORIZONTAL_POD_AUTOSCALER if keda else SCALED_OBJECT
    if zone.lws_name in scope.before.get(other, ()) and not (keda and SCALED_OBJECT in scope.children.missing):
        return
    if not keda and scope.children.get(HORIZONTAL_POD_AUTOSCALER, keda_name(zone)) is not None:
        return
    kind = SCALED_OBJECT if keda else HORIZONTAL_POD_AUTOSCALER
    await ensure(scope, kind, rendering.autoscaler(scope.cluster, wanted, zone))


def groups_asked_for(scope: Scope, zone: ZonePlan) -> int:
    """Groups that the zone should have now: with autoscaling what its LeaderWorkerSet asks for, once that is told."""
    if zone.regime is not Regime.AUTOSCALED:
        return zone.wanted
    return _replicas(scope.children.get(LEADER_WORKER_SET, zone.lws_name)) or zone.replicas


async def stays_away(scope: Scope, zone: ZonePlan) -> bool:
    """Whether the zone is disabled and has no LeaderWorkerSet: a new one would have a group for a moment.

    One whose labels were stripped is looked for, because its groups are to end; when that fails, nothing is made.
    """
    if zone.regime is not Regime.HELD or scope.children.get(LEADER_WORKER_SET, zone.lws_name) is not None:
        return False
    try:
        await scope.api.get(LEADER_WORKER_SET, scope.namespace, zone.lws_name)
    except (NotFound, ApiMissing):
        return True
    except KubeError as error:
        scope.errors.append(ChildError(LEADER_WORKER_SET, zone.lws_name, error))
        return True
    return False


async def ensure_replicas(scope: Scope, wanted: ClusterPlan, zone: ZonePlan, before: Obj | None) -> bool:
    """Apply the zone's number of groups if it is ours to say now; False when that failed.

    `before` is the LeaderWorkerSet as it was before this reconcile applied its template, None when there was none.
    """
    live = scope.children.get(LEADER_WORKER_SET, zone.lws_name)
    if live is None or live["metadata"].get("deletionTimestamp"):
        return True
    number = replicas_to_apply(zone, _observed(scope, wanted, zone, live, before))
    if number is None:
        return True
    rendered = rendering.lws_replicas(scope.cluster, zone, number)
    if zone.regime is Regime.AUTOSCALED:
        # Between the look and the write the autoscaler may have written: then the server refuses ours.
        rendered["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    log = structlog.get_logger()
    try:
        await scope.confirm()
        log.info("Applying replicas", child=zone.lws_name, replicas=number, regime=zone.regime.value)
        applied = await scope.api.apply(LEADER_WORKER_SET, rendered, manager=FIELD_MANAGER_REPLICAS)
    except KubeError as error:
        if isinstance(error, Conflict) and zone.regime is Regime.AUTOSCALED:
            return False  # the event of the change that was faster brings us back
        scope.errors.append(ChildError(LEADER_WORKER_SET, zone.lws_name, error))
        return False
    scope.children.put(LEADER_WORKER_SET, applied)
    return True


def _observed(scope: Scope, wanted: ClusterPlan, zone: ZonePlan, live: Obj, before: Obj | None) -> Scale:
    autoscaler = live_autoscaler(scope, zone)
    # Where autoscalers may not be read, a zone that should have one has perhaps had one for long.
    unknown = HORIZONTAL_POD_AUTOSCALER in scope.children.refused and zone.regime is Regime.AUTOSCALED
    desired = ((autoscaler or {}).get("status") or {}).get("desiredReplicas")
    return Scale(
        replicas=_replicas(live) or 0,
        untouched=(before or live)["metadata"].get("generation") == 1,
        autoscaler=autoscaler is not None or unknown or scope.children.get(SCALED_OBJECT, zone.lws_name) is not None,
        desired=desired,
        drained=_is_drained(scope, wanted, zone),
    )


def _is_drained(scope: Scope, wanted: ClusterPlan, zone: ZonePlan) -> bool:
    """Whether the route sends the zone nothing, and each gateway that ever took the route knows that."""
    if HTTP_ROUTE in scope.children.refused:
        return False
    route = scope.children.get(HTTP_ROUTE, wanted.route_name)
    return route is None or (weights_in(route, [zone]).get(zone.name, 0) == 0 and is_taken_up(route))


def _replicas(live: Obj | None) -> int | None:
    number = ((live or {}).get("spec") or {}).get("replicas")
    return None if number is None else int(number)
