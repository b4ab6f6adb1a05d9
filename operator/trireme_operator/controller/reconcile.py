"""One reconcile of one resource: a short list of phases over what the store says of it.

Level-triggered and re-entrant: nothing is remembered between two runs but what stands in the cluster (the store is a
copy of that), and a run that is cut off anywhere is finished by the next one.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from trireme_operator import rendering
from trireme_operator.api import ConditionType, InferenceCluster, InvalidResource, Reason, parse
from trireme_operator.api.monitoring import PodMonitorMode
from trireme_operator.controller.accepted import Accepted, last_accepted
from trireme_operator.controller.autoscaling import zone_autoscaling
from trireme_operator.controller.children import ensure, prune
from trireme_operator.controller.claims import Claims
from trireme_operator.controller.conditions import Conditions
from trireme_operator.controller.course import Course, set_course
from trireme_operator.controller.failures import Past, keep_pasts, next_try
from trireme_operator.controller.first_cause import finished_with
from trireme_operator.controller.lost import next_judgement, replace_lost
from trireme_operator.controller.maintenance import NodeNotices, with_upkeep
from trireme_operator.controller.metric_apis import MetricApiReader
from trireme_operator.controller.model_check import ModelCheck, check_model
from trireme_operator.controller.queue import Key
from trireme_operator.controller.replicas import ensure_autoscaler, ensure_replicas, release, stays_away
from trireme_operator.controller.revisions import Template, ensure_revision, prune_revisions, templates
from trireme_operator.controller.rights import Missing
from trireme_operator.controller.rotation import rotate
from trireme_operator.controller.routes import GatewayReader, read_gateways
from trireme_operator.controller.scope import CHILD_KINDS, ChildError, Children, OutdatedError, Scope
from trireme_operator.controller.stalled import HeardFn, stalled
from trireme_operator.controller.status import ZoneView, compute, compute_invalid, write_if_changed
from trireme_operator.controller.store import Store
from trireme_operator.controller.traffic import Ears, facts, live_traffic, made_at, marks_change, with_queues
from trireme_operator.controller.unpermitted import unpermitted, unseen
from trireme_operator.controller.way_in import ensure_way_in
from trireme_operator.controller.zone_runs import rolling_out
from trireme_operator.kube import (
    BACKEND_TRAFFIC_POLICY,
    HTTP_ROUTE,
    INFERENCE_POOL,
    LEADER_WORKER_SET,
    NETWORK_POLICY,
    POD,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    SERVICE,
    SERVICE_ACCOUNT,
    Forbidden,
    Invalid,
    KubeApi,
    NotFound,
    Obj,
)
from trireme_operator.planning import (
    ClusterPlan,
    Regime,
    ZonePlan,
    ZoneWeight,
    pace,
    plan,
    weights,
    with_survivor_floor,
)

RESYNC_SECONDS = 450.0
"""Between full looks at a settled resource; the queue spreads it by +- 20 %."""
UNSETTLED_SECONDS = 15.0
"""How soon to look again at a resource that waits for something no watched object announces: an API, a gateway."""
DUE_SECONDS = 1.0
"""How soon after a time that a status names to look again."""
SOON_SECONDS = 0.05
"""The same where a weight is due: a lost zone costs requests meanwhile."""
GATEWAY_SECONDS = 4.0
"""The same while a Gateway that exists is being set up, which takes seconds; Gateways are read and not watched."""


MissingFn = Callable[[Obj], Missing]
"""Which rights are missing for a resource."""

TellFn = Callable[[Obj, Obj], None]
"""Called with a resource as it was read and the status that was just written to it."""


_KINDS = {kind.kind: kind for kind in CHILD_KINDS}


class Reconciler:
    """Brings resources about. `clock` gives the wall-clock time in UTC, for conditions only.

    `store` must be ready, and `api` one that tells it of every write (`RecordingApi`). `nodes` is None where the
    installation does not let nodes be read.
    """

    def __init__(
        self,
        api: KubeApi,
        store: Store,
        settings: rendering.Settings,
        *,
        clock: Callable[[], datetime],
        heard: HeardFn = lambda _: None,
        ears: Ears = Ears(),  # noqa: B008 - it is immutable
        missing: MissingFn = lambda _: Missing(),
        tell: TellFn | None = None,
        wake: Callable[[Key], None] = lambda _: None,
        nodes: NodeNotices | None = None,
    ) -> None:
        self._nodes = nodes
        self._heard = heard
        self._ears = ears
        self._missing = missing
        self._tell = tell
        self._claims = Claims(wake)
        self._api = api
        self._store = store
        self._gateways = GatewayReader(api)
        self._metrics = MetricApiReader(api)
        self._settings = settings
        self._clock = clock

    async def reconcile(self, key: Key) -> float | None:
        """Do what is missing; returns the seconds until the next look, None when the resource is gone.

        Raises an ExceptionGroup of what went wrong with single children, after everything else was done.
        """
        raw = self._store.resource(key)
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            self._claims.forget(key)
            return None  # the garbage collector removes the children, by their owner
        missing = self._missing(raw)
        if missing.blinds:
            await self._write_status(raw, unseen(raw, missing, self._clock()))
            return RESYNC_SECONDS
        try:
            return await self._reconcile(raw)
        except NotFound:
            return None  # the status of a resource that is no longer there: its DELETED event is on its way
        except (OutdatedError, ExceptionGroup) as error:
            if isinstance(error, ExceptionGroup) and error.subgroup(OutdatedError) is None:
                raise
            return 0.0

    async def _reconcile(self, raw: Obj) -> float:
        try:
            cluster = parse(raw)
            wanted = plan(cluster)
            model = await check_model(self._api, cluster, wanted.geometry)
        except InvalidResource as error:
            soon = UNSETTLED_SECONDS if _reads_config(raw) else RESYNC_SECONDS
            accepted = last_accepted(raw, self._children(raw))
            if accepted is not None:
                return min(soon, await self._go_on(raw, accepted, error))
            await self._write_status(raw, compute_invalid(raw, error, self._clock()))
            return soon
        scope = self._scope(raw, cluster, model)
        return await self._bring_about(raw, scope, wanted)

    async def _go_on(self, raw: Obj, accepted: Accepted, refusal: InvalidResource) -> float:
        """As before the spec was refused."""
        scope = self._scope(raw, accepted.cluster, ModelCheck())
        scope.may_render = accepted.judged
        return await self._bring_about(raw, scope, accepted.plan, refusal=refusal)

    def _children(self, raw: Obj) -> Children:
        return self._store.children(Key(raw["metadata"]["namespace"], raw["metadata"]["name"]))

    def _scope(self, raw: Obj, cluster: InferenceCluster, model: ModelCheck) -> Scope:
        settled = (raw.get("status") or {}).get("observedGeneration") is not None
        return Scope(self._api, cluster, self._children(raw), model, settled)

    async def _bring_about(
        self, raw: Obj, scope: Scope, wanted: ClusterPlan, *, refusal: InvalidResource | None = None
    ) -> float:
        if POD in scope.children.refused:
            scope.errors.append(ChildError(POD, "of the groups", scope.children.refused[POD]))
        before = live_traffic(scope, wanted)
        wanted = with_survivor_floor(wanted, scope.cluster, before)
        now = int(self._clock().timestamp())
        pasts = await keep_pasts(scope, wanted, now=now)
        course = set_course(scope, wanted, pasts, self._heard, now=now)
        rhythm = pace(scope.cluster)
        course = with_upkeep(course, self._nodes, before, heard=self._heard, listen=self._ears.listen, pace=rhythm)
        wanted = course.plan
        await release(scope, wanted)
        await replace_lost(scope, now=now)
        live = raw.get("status") or {}
        zones = _views(scope, course, pasts, live, heard=self._heard, ears=self._ears)
        turn = await rotate(scope, course.groups, self._ears.listen, rhythm, course.upkeep)
        reading = asyncio.create_task(read_gateways(self._gateways, scope.cluster))
        try:
            template = await self._apply(scope, course, zones, now=now)
            await _prune(scope, wanted)
            gateways = await reading
            apis = await self._metrics.get() if scope.cluster.spec.autoscaling is not None else None
        finally:
            reading.cancel()
        conditions = Conditions(
            live.get("conditions") or [], generation=scope.cluster.metadata.generation, now=self._clock()
        )
        rival = self._claims.note(Key(scope.namespace, wanted.name), scope.cluster, made_at(scope, wanted))
        scope.rival = None if rival is None else f"{rival.namespace}/{rival.name}"
        status = compute(scope, course, zones, gateways, conditions, template=template, refusal=refusal, apis=apis)
        await self._write_status(raw, status)
        if scope.errors:
            raise ExceptionGroup("some children failed", [error.error for error in scope.errors])
        self._store.forget(finished_with(scope.children.pods, scope.children.gone))
        waits = (next_try(pasts), next_judgement(scope.children.pods, now=now), *course.waits)
        moves = [view.weight.again for view in zones if view.weight.again is not None]
        moves += [] if turn is None else [turn]
        moves += [0.0] * marks_change(before, {view.plan.name: view.weight for view in zones})
        look = _next_look(scope, conditions, [wait for wait in waits if wait is not None])
        return min([look, *(wait + SOON_SECONDS for wait in moves)])

    async def _write_status(self, raw: Obj, status: Obj) -> None:
        missing = self._missing(raw)
        if missing and not missing.blinds:
            status = unpermitted(raw, status, missing, self._clock())
        if await write_if_changed(self._api, raw, status) and self._tell is not None:
            self._tell(raw, status)

    async def _apply(self, scope: Scope, course: Course, zones: list[ZoneView], *, now: int) -> Template | None:
        """All children at once, after what the groups need: the stored template, and their pods' ServiceAccount.

        The groups take longest, so nothing else is under way while they wait for that. Returns the wanted template.
        """
        wanted = course.plan
        async with asyncio.TaskGroup() as group:
            stored = group.create_task(ensure_revision(scope, wanted, self._settings))
            account = rendering.service_account(scope.cluster, wanted)
            allowed = group.create_task(ensure(scope, SERVICE_ACCOUNT, account))
            template = await stored
            await allowed
            for zone in wanted.zones:
                group.create_task(_ensure_groups(scope, course, zone, template, now=now))
            weighed = {view.plan.name: view.weight for view in zones}
            group.create_task(ensure_way_in(scope, wanted, weighed))
            for rendered in rendering.beside_groups(scope.cluster, wanted, self._settings):
                group.create_task(ensure(scope, _KINDS[rendered["kind"]], rendered))
        return template


async def _ensure_groups(scope: Scope, course: Course, zone: ZonePlan, template: Template | None, *, now: int) -> None:
    """The zone's LeaderWorkerSet, then its number of groups, then who changes that number by load."""
    before = scope.children.get(LEADER_WORKER_SET, zone.lws_name)
    if await stays_away(scope, zone) or not await _ensure_set(scope, course, zone, template, now=now):
        return
    settled = await ensure_replicas(scope, course.plan, zone, before)
    if settled and zone.regime is Regime.AUTOSCALED:
        await ensure_autoscaler(scope, course.plan, zone)


async def _ensure_set(scope: Scope, course: Course, zone: ZonePlan, template: Template | None, *, now: int) -> bool:
    """The zone's LeaderWorkerSet from the wanted template when it is its turn; else from one that it can have."""
    before = scope.children.get(LEADER_WORKER_SET, zone.lws_name)
    turn = zone.name in course.rollout.takes
    choices = list(templates(scope, zone, template if turn else None))
    if not choices and before is not None:
        return True  # the revision that it runs is lost: it stays as it is until its turn
    for choice in choices:
        rendered = rendering.leader_worker_set(
            scope.cluster,
            course.plan,
            zone,
            revision_name=choice.revision,
            template=choice.body,
            rolling_out=rolling_out(before, choice.revision, proven=zone.name in course.rollout.proven, now=now),
        )
        if await ensure(scope, LEADER_WORKER_SET, rendered) is not None:
            return True
        refused = [error for error in scope.errors if isinstance(error.error, Invalid | Forbidden)]
        if not any((error.kind, error.name) == (LEADER_WORKER_SET, zone.lws_name) for error in refused):
            break
    return False


async def _prune(scope: Scope, wanted: ClusterPlan) -> None:
    """Remove what the resource no longer asks for, the route before the groups it sent traffic to."""
    routes = {wanted.route_name} if scope.cluster.spec.gateway is not None else set()
    await prune(scope, HTTP_ROUTE, frozenset(routes))
    await prune(scope, BACKEND_TRAFFIC_POLICY, frozenset(routes if rendering.wants_policy(scope.cluster) else ()))
    if not any(error.kind == HTTP_ROUTE for error in scope.errors):
        services = {wanted.service_name, *(zone.service_name for zone in wanted.zones)}
        await prune(scope, LEADER_WORKER_SET, frozenset(zone.lws_name for zone in wanted.zones))
        # What protects groups goes after them: a set that could not be deleted keeps its budget and its policy.
        sets = frozenset(scope.children.of(LEADER_WORKER_SET)).union(zone.lws_name for zone in wanted.zones)
        await prune(scope, POD_DISRUPTION_BUDGET, sets)
        await prune(scope, NETWORK_POLICY, sets if scope.cluster.spec.network_policy else frozenset())
        await prune(scope, SERVICE, frozenset(services))
        pools = (zone.pool_name for zone in wanted.zones if rendering.wants_pools(scope.cluster))
        await prune(scope, INFERENCE_POOL, frozenset(pools))
    monitored = scope.cluster.spec.monitoring.pod_monitor is not PodMonitorMode.NEVER
    await prune(scope, POD_MONITOR, frozenset({wanted.pod_monitor_name} if monitored else ()))
    await prune(scope, SERVICE_ACCOUNT, frozenset({wanted.service_account_name}))
    await prune_revisions(scope)


def _views(
    scope: Scope, course: Course, pasts: Mapping[str, Past], live: Obj, *, heard: HeardFn, ears: Ears
) -> list[ZoneView]:
    wanted, groups = course.plan, course.groups
    weighed = _weigh(scope, course, now=next(iter(pasts.values())).now, ears=ears)
    before = {zone.get("name"): zone for zone in live.get("zones") or []}
    return [
        ZoneView(
            zone,
            groups[zone.name],
            weighed[zone.name],
            past=pasts[zone.lws_name],
            stalled=stalled(groups[zone.name], heard, before.get(zone.name or "") or {}),
            autoscaling=zone_autoscaling(scope, zone, pasts[zone.lws_name].history, before.get(zone.name or "") or {}),
            drain=course.drains.get(zone.name),
            upkeep=course.upkeep.get(zone.name),
        )
        for zone in wanted.zones
    ]


def _weigh(scope: Scope, course: Course, *, now: int, ears: Ears) -> dict[str | None, ZoneWeight]:
    rhythm = pace(scope.cluster)
    live = live_traffic(scope, course.plan)
    found = facts(course.groups, rhythm, now=now, ears=ears, live=live, hold=course.holds.get)
    found = with_queues(found, course.groups, ears.queue, course.plan.balancing)
    return weights(course.plan, found, live=live, pace=rhythm, now=now)


def _next_look(scope: Scope, conditions: Conditions, waits: Sequence[int]) -> float:
    """`waits` are seconds until something comes due that nobody announces."""
    return min([_unhurried_look(scope, conditions), *(wait + DUE_SECONDS for wait in waits)])


def _unhurried_look(scope: Scope, conditions: Conditions) -> float:
    routes = conditions.get(ConditionType.ROUTES_PROGRAMMED)
    if routes is not None and routes.reason is Reason.GATEWAY_NOT_PROGRAMMED:
        return GATEWAY_SECONDS
    unsettled = LEADER_WORKER_SET in scope.children.missing or (routes is not None and routes.status != "True")
    return UNSETTLED_SECONDS if unsettled or scope.model.problem else RESYNC_SECONDS


def _reads_config(raw: Obj) -> bool:
    """Whether the resource names a ConfigMap, which may be mended without an event that tells."""
    model = (raw.get("spec") or {}).get("model")
    return isinstance(model, Mapping) and bool(model.get("config"))
