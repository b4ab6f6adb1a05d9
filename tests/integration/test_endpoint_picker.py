"""The route leads to InferencePools, of the real definition, when endpoint pickers are asked for."""

from typing import Any

from tests.integration.server import Hands, Operator, condition, until
from tests.unit.controller_samples import resource
from trireme_operator.kube import GATEWAY, HTTP_ROUTE, INFERENCE_CLUSTER, INFERENCE_POOL, SERVICE, Kind, Obj

POOLS = [("InferencePool", "llm-zone-a", 60), ("InferencePool", "llm-zone-b", 40)]
SERVICES = [("Service", "llm-zone-a-http", 60), ("Service", "llm-zone-b-http", 40)]
NOW = "2026-01-01T00:00:00Z"


async def create(hands: Hands, namespace: str, **gateway: Any) -> None:
    obj = resource(gateway={"parentRefs": [{"name": "edge"}]} | gateway)
    obj["metadata"] = {"name": "llm", "namespace": namespace}
    await hands.create(INFERENCE_CLUSTER, obj)


async def leads_to(hands: Hands, namespace: str, wanted: list[tuple[str, str, int]]) -> None:
    async def there() -> bool:
        routes = await hands.api.list(HTTP_ROUTE, namespace)
        refs = [ref for route in routes for ref in route["spec"]["rules"][0]["backendRefs"]]
        return [(ref["kind"], ref["name"], ref["weight"]) for ref in refs] == wanted

    await until(there)


async def names(hands: Hands, kind: Kind, namespace: str) -> set[str]:
    return {obj["metadata"]["name"] for obj in await hands.api.list(kind, namespace)}


def said(kind: str, status: str = "True", reason: str = "x", **more: Any) -> Obj:
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW} | more


async def a_gateway_takes_the_route(hands: Hands, namespace: str) -> None:
    spec = {"gatewayClassName": "x", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}
    await hands.create(GATEWAY, {"metadata": {"name": "edge", "namespace": namespace}, "spec": spec})
    await hands.merge(GATEWAY, namespace, "edge", {"status": {"conditions": [said("Programmed")]}}, "status")
    generation = (await hands.api.get(HTTP_ROUTE, namespace, "llm"))["metadata"]["generation"]
    told = [said(kind, observedGeneration=generation) for kind in ("Accepted", "ResolvedRefs")]
    parent = {"parentRef": {"name": "edge"}, "controllerName": "example.com/gateway", "conditions": told}
    await hands.merge(HTTP_ROUTE, namespace, "llm", {"status": {"parents": [parent]}}, "status")


async def until_reason(hands: Hands, namespace: str, reason: str) -> str:
    async def told() -> bool:
        return (await condition(hands, namespace, "RoutesProgrammed")).get("reason") == reason

    await until(told)
    return str((await condition(hands, namespace, "RoutesProgrammed"))["message"])


async def test_pools_come_go_and_carry_the_weights(hands: Hands, namespace: str, operator_process: Operator) -> None:
    await create(hands, namespace)
    await leads_to(hands, namespace, SERVICES)
    assert await names(hands, INFERENCE_POOL, namespace) == set()

    await hands.merge(INFERENCE_CLUSTER, namespace, "llm", {"spec": {"gateway": {"endpointPicker": {"port": 9100}}}})
    await leads_to(hands, namespace, POOLS)
    live = await hands.api.get(INFERENCE_POOL, namespace, "llm-zone-b")
    assert live["spec"]["endpointPickerRef"] == {
        "group": "",
        "kind": "Service",
        "name": "llm-zone-b-epp",
        "port": {"number": 9100},
        "failureMode": "FailOpen",
    }
    zones = (await hands.api.get(INFERENCE_CLUSTER, namespace, "llm"))["spec"]["zones"]
    off = [zones[0], zones[1] | {"state": "Disabled"}]
    await hands.merge(INFERENCE_CLUSTER, namespace, "llm", {"spec": {"zones": off}})
    await leads_to(hands, namespace, [POOLS[0], (*POOLS[1][:2], 0)])
    assert await names(hands, SERVICE, namespace) >= {"llm-zone-a-http", "llm-zone-b-http"}

    await hands.merge(INFERENCE_CLUSTER, namespace, "llm", {"spec": {"gateway": {"endpointPicker": None}}})

    async def gone() -> bool:
        return not await names(hands, INFERENCE_POOL, namespace)

    await until(gone)
    await leads_to(hands, namespace, [SERVICES[0], (*SERVICES[1][:2], 0)])


async def test_what_a_gateway_says_of_a_pool_is_told_and_heals(
    hands: Hands, namespace: str, operator_process: Operator
) -> None:
    await create(hands, namespace, endpointPicker={})
    await leads_to(hands, namespace, POOLS)
    await a_gateway_takes_the_route(hands, namespace)
    await until_reason(hands, namespace, "Programmed")
    for status, reason in (("False", "InferencePoolNotAccepted"), ("True", "Programmed")):
        told = said("ResolvedRefs", status, "InvalidExtensionRef", message="service not found")
        parents = [{"parentRef": {"name": "edge"}, "conditions": [told]}]
        await hands.merge(INFERENCE_POOL, namespace, "llm-zone-b", {"status": {"parents": parents}}, "status")
        message = await until_reason(hands, namespace, reason)
        assert ("service not found" in message) is (status == "False")


async def test_a_pool_of_somebody_else_is_not_taken_over_and_the_services_serve(
    hands: Hands, namespace: str, operator_process: Operator
) -> None:
    spec = {"selector": {"matchLabels": {"a": "b"}}, "targetPorts": [{"number": 1}]}
    await hands.create(INFERENCE_POOL, {"metadata": {"name": "llm-zone-b", "namespace": namespace}, "spec": spec})
    await create(hands, namespace, endpointPicker={})
    await leads_to(hands, namespace, SERVICES)

    async def told() -> bool:
        return (await condition(hands, namespace, "Accepted")).get("reason") == "NameConflict"

    await until(told)
    assert (await hands.api.get(INFERENCE_POOL, namespace, "llm-zone-b"))["spec"]["targetPorts"] == [{"number": 1}]
