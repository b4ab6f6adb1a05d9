"""What the gateway goes by: InferencePools where endpoint pickers choose, the policy, and behind them the route."""

import asyncio
from collections.abc import Mapping

from trireme_operator import rendering
from trireme_operator.controller.children import ensure
from trireme_operator.controller.routes import backends, is_pool
from trireme_operator.controller.scope import Scope
from trireme_operator.kube import BACKEND_TRAFFIC_POLICY, HTTP_ROUTE, INFERENCE_POOL
from trireme_operator.planning import ClusterPlan, ZoneWeight


async def ensure_way_in(scope: Scope, wanted: ClusterPlan, weights: Mapping[str | None, ZoneWeight]) -> None:
    """The policy before the route: one that comes after it acts much later."""
    if scope.cluster.spec.gateway is None:
        return
    pools = rendering.inference_pools(scope.cluster, wanted)
    async with asyncio.TaskGroup() as group:
        for pool in pools:
            group.create_task(ensure(scope, INFERENCE_POOL, pool))
    policy = rendering.backend_traffic_policy(scope.cluster, wanted)
    if policy is not None:
        await ensure(scope, BACKEND_TRAFFIC_POLICY, policy)
    route = rendering.http_route(scope.cluster, wanted, weights, to_pools=leads_to_pools(scope, wanted))
    await ensure(scope, HTTP_ROUTE, route)


def leads_to_pools(scope: Scope, wanted: ClusterPlan) -> bool:
    """Whether the route is to lead to pools: once all of them stand, and then for as long as there can be any.

    A pool that can't be read or repaired just now moves no traffic: the route stays with what it leads to.
    """
    if not rendering.wants_pools(scope.cluster) or INFERENCE_POOL in scope.children.missing:
        return False
    failed = any(error.kind == INFERENCE_POOL for error in scope.errors)
    if not failed and all(scope.children.get(INFERENCE_POOL, zone.pool_name) is not None for zone in wanted.zones):
        return True
    route = scope.children.get(HTTP_ROUTE, wanted.route_name)
    return route is not None and any(is_pool(reference) for reference in backends(route))
