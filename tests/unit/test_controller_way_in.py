"""Endpoint pickers: pools before the route that leads to them, and Services while there can be no pools."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.fake_kube import error
from tests.unit.reconcile_world import World
from trireme_operator.kube import HTTP_ROUTE, INFERENCE_POOL, POD, SERVICE, Forbidden, KubeError, Obj

EDGE: Obj = {"parentRefs": [{"name": "edge", "namespace": "infra"}]}
POOLS = {"llm-zone-a", "llm-zone-b"}
SERVICES = {"llm-zone-a-http", "llm-zone-b-http"}


async def settled(*unserved: Any, **picker: Any) -> World:
    world = World(gateway=EDGE | {"endpointPicker": picker})
    world.kube.unserved |= set(unserved)
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    await world.reconcile()
    return world


def backends(world: World) -> list[Obj]:
    found: list[Obj] = world.kube.one(HTTP_ROUTE, "llm")["spec"]["rules"][0]["backendRefs"]
    return found


def refusing_writes(world: World, *, pool: str) -> None:
    def fail(verb: str, kind: Any, name: str) -> KubeError | None:
        return error(500, "out of order") if (verb, kind, name) == ("apply", INFERENCE_POOL, pool) else None

    world.kube.fail = fail


def unready(world: World, zone: str) -> None:
    """Its groups were ready and are not any more."""
    begun = {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
    ended = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:03:00Z"}
    for name in [name for name in world.kube.names(POD) if name.startswith(f"llm-{zone}")]:
        world.kube.one(POD, name)["status"]["conditions"] = [begun, ended]


async def test_pools_are_made_before_the_route_that_leads_to_them_and_services_stay() -> None:
    world = await settled()
    made = [kind for verb, kind, _ in world.kube.writes if verb == "apply"]
    assert [made.index("InferencePool"), made.index("HTTPRoute")] == sorted(
        (made.index("InferencePool"), made.index("HTTPRoute"))
    )
    assert made.count("HTTPRoute") == 1, "not to the Services first"
    assert world.kube.names(INFERENCE_POOL) == POOLS
    assert world.kube.names(SERVICE) >= SERVICES, "a zone that returns is proven through its Service"
    assert world.weights() == {"llm-zone-a": 60, "llm-zone-b": 40}
    assert {(ref["group"], ref["kind"]) for ref in backends(world)} == {
        ("inference.networking.k8s.io", INFERENCE_POOL.kind)
    }
    assert world.condition("RoutesProgrammed")["reason"] == "Programmed"
    assert await world.writes() == [], "at rest nothing is written"


async def test_weights_move_between_pools_as_between_services() -> None:
    world = await settled()
    unready(world, "zone-b")
    assert ("apply", "HTTPRoute", "llm") in await world.writes()
    assert world.weights() == {"llm-zone-a": 60, "llm-zone-b": 0}
    assert world.status["zones"][1]["weightReason"] == "NoReadyGroup"
    world.accept_route()
    await world.reconcile()
    assert await world.writes() == []


async def test_on_and_off_again_changes_what_the_route_leads_to_and_no_weight() -> None:
    world = await settled()
    unready(world, "zone-b")
    await world.reconcile()
    marks = world.kube.one(HTTP_ROUTE, "llm")["metadata"]["annotations"]["trireme.dev/traffic"]
    world.spec["gateway"] = EDGE
    writes = await world.writes()
    assert world.weights() == {"llm-zone-a-http": 60, "llm-zone-b-http": 0}
    assert all(set(ref) == {"name", "port", "weight"} for ref in backends(world))
    assert world.kube.one(HTTP_ROUTE, "llm")["metadata"]["annotations"]["trireme.dev/traffic"] == marks
    assert world.kube.names(INFERENCE_POOL) == set()
    gone = [write for write in writes if write[0] == "delete"]
    assert writes.index(("apply", "HTTPRoute", "llm")) < writes.index(gone[0]), "no backend is taken from the route"
    world.spec["gateway"] = EDGE | {"endpointPicker": {}}
    await world.reconcile()
    assert world.weights() == {"llm-zone-a": 60, "llm-zone-b": 0}


async def test_without_the_api_the_route_leads_to_services_and_says_so_until_it_is_there() -> None:
    world = await settled(INFERENCE_POOL)
    assert set(world.weights()) == SERVICES
    said = world.condition("RoutesProgrammed")
    assert (said["status"], said["reason"]) == ("False", "InferencePoolMissing")
    assert "spec.gateway.endpointPicker" in said["message"]
    assert "picked up by itself" in said["message"]
    world.kube.unserved.clear()
    await world.reconcile()
    assert set(world.weights()) == POOLS
    world.accept_route()
    await world.reconcile()
    assert world.condition("RoutesProgrammed")["status"] == "True"
    world.kube.unserved.add(INFERENCE_POOL)
    await world.reconcile()
    assert set(world.weights()) == SERVICES, "pools that are gone with their API serve nobody"


async def test_a_pool_that_can_not_be_made_keeps_the_route_with_the_services() -> None:
    world = await settled(INFERENCE_POOL)
    world.kube.unserved.clear()
    refusing_writes(world, pool="llm-zone-b")
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert set(world.weights()) == SERVICES
    said = world.condition("RoutesProgrammed")
    assert (said["reason"], "out of order" in said["message"]) == ("ApplyFailed", True)


async def test_a_pool_that_can_not_be_repaired_moves_no_traffic() -> None:
    world = await settled()
    world.kube.one(INFERENCE_POOL, "llm-zone-b")["spec"]["targetPorts"] = [{"number": 1}]
    refusing_writes(world, pool="llm-zone-b")
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert set(world.weights()) == POOLS


async def test_pools_that_may_not_be_read_move_no_traffic() -> None:
    world = await settled()
    refusal = Forbidden("may not list", status=403)
    world.kube.fail = lambda verb, kind, _: refusal if (verb, kind) == ("list", INFERENCE_POOL) else None
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert set(world.weights()) == POOLS


def told(name: str, kind: str, status: str, reason: str) -> Obj:
    condition = {"type": kind, "status": status, "reason": reason, "message": "no such Service"}
    return {"parentRef": {"name": name, "namespace": "infra"}, "conditions": [condition]}


@pytest.mark.parametrize(
    ("parent", "refused"),
    [
        pytest.param(told("edge", "ResolvedRefs", "False", "InvalidExtensionRef"), True, id="no such picker"),
        pytest.param(told("edge", "Accepted", "False", "NotSupportedByParent"), True, id="a gateway without pools"),
        pytest.param(told("edge", "Accepted", "True", "Accepted"), False, id="accepted"),
        pytest.param(told("edge", "Exported", "False", "NotRequested"), False, id="what nobody asked for"),
        pytest.param(told("other", "ResolvedRefs", "False", "InvalidExtensionRef"), False, id="another gateway"),
    ],
)
async def test_what_the_gateway_says_of_a_pool_is_told(parent: Obj, refused: bool) -> None:
    world = await settled(port=9100)
    world.kube.one(INFERENCE_POOL, "llm-zone-b")["status"] = {"parents": [parent]}
    await world.reconcile()
    said = world.condition("RoutesProgrammed")
    assert said["status"] == ("False" if refused else "True")
    if refused:
        assert said["reason"] == "InferencePoolNotAccepted"
        for part in ("llm-zone-b", "no such Service", "llm-zone-b-epp:9100"):
            assert part in said["message"]


async def test_a_zone_that_goes_takes_its_pool_along_after_the_route() -> None:
    world = await settled()
    world.spec["zones"] = world.spec["zones"][:1]
    writes = await world.writes()
    assert world.kube.names(INFERENCE_POOL) == {"llm-zone-a"}
    assert writes.index(("apply", "HTTPRoute", "llm")) < writes.index(("delete", "InferencePool", "llm-zone-b"))
    world.spec["gateway"] = None
    await world.reconcile()
    assert world.kube.names(INFERENCE_POOL) == world.kube.names(HTTP_ROUTE) == set()
