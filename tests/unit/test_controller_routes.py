"""What a gateway says about the route, and the URL."""

import asyncio
import copy
from typing import Any

import pytest

from tests.unit.controller_samples import resource
from tests.unit.fake_kube import FakeKube
from trireme_operator.api import InferenceCluster, parse
from trireme_operator.controller import routes
from trireme_operator.controller.routes import GatewayKey, GatewayReader, read_gateways, url, verdict
from trireme_operator.kube import GATEWAY, Forbidden, Kind, Obj
from trireme_operator.planning import plan

EDGE: GatewayKey = ("infra", "edge")


def cluster(**gateway: Any) -> InferenceCluster:
    return parse(resource(gateway={"parentRefs": [{"name": "edge", "namespace": "infra"}]} | gateway))


def gateway(*listeners: Obj, address: str = "") -> dict[GatewayKey, Obj | None]:
    addresses = [{"value": address}] if address else []
    programmed = {"type": "Programmed", "status": "True", "reason": "Programmed"}
    status = {"addresses": addresses, "conditions": [programmed]}
    return {EDGE: {"spec": {"listeners": list(listeners)}, "status": status}}


HTTP = {"name": "web", "protocol": "HTTP", "port": 80}
HTTPS = {"name": "tls", "protocol": "HTTPS", "port": 443}
ODD = {"name": "odd", "protocol": "HTTP", "port": 8080}


@pytest.mark.parametrize(
    ("spec", "live", "want"),
    [
        pytest.param({"hostnames": ["a.b"]}, gateway(HTTP), "http://a.b/v1", id="plain"),
        pytest.param({"hostnames": ["a.b"]}, gateway(HTTPS), "https://a.b/v1", id="the listener has TLS"),
        pytest.param({"hostnames": ["a.b"]}, gateway(ODD), "http://a.b:8080/v1", id="another port"),
        pytest.param({"hostnames": ["a.b"], "paths": ["/llm"]}, gateway(HTTP), "http://a.b/llm", id="another path"),
        pytest.param({"hostnames": ["a.b"]}, {}, "http://a.b/v1", id="the gateway can't be read"),
        pytest.param({"hostnames": ["*.b", "a.b"]}, gateway(HTTP), "http://a.b/v1", id="a wildcard is no address"),
        pytest.param({}, gateway(HTTP, address="192.0.2.1"), "http://192.0.2.1/v1", id="the gateway's address"),
        pytest.param({}, gateway(HTTP, address="2001:db8::1"), "http://[2001:db8::1]/v1", id="IPv6"),
        pytest.param({}, gateway(HTTP), "http://llm-http.genai.svc/v1", id="no address yet"),
        pytest.param(
            {},
            {EDGE: {"status": {"addresses": [{"value": ""}, {"value": "192.0.2.9"}]}}},
            "http://192.0.2.9/v1",
            id="the first address that is one",
        ),
        pytest.param({}, {EDGE: None}, "http://llm-http.genai.svc/v1", id="no gateway"),
        pytest.param(
            {"hostnames": ["a.b"], "parentRefs": [{"name": "edge", "namespace": "infra", "sectionName": "tls"}]},
            gateway(HTTP, HTTPS),
            "https://a.b/v1",
            id="the listener that the resource names",
        ),
    ],
)
def test_url(spec: dict[str, Any], live: dict[GatewayKey, Obj | None], want: str) -> None:
    resource_ = cluster(**spec)
    assert url(resource_, plan(resource_), live) == want


def route(*conditions: tuple[str, str, str]) -> Obj:
    told = [{"type": kind, "status": status, "reason": reason, "message": "m"} for kind, status, reason in conditions]
    return {"status": {"parents": [{"parentRef": {"name": "edge", "namespace": "infra"}, "conditions": told}]}}


TAKEN = route(("Accepted", "True", ""), ("ResolvedRefs", "True", ""))


@pytest.mark.parametrize(
    ("live", "gateways", "want"),
    [
        pytest.param({}, {EDGE: None}, (False, "GatewayNotFound"), id="no such gateway"),
        pytest.param({}, gateway(HTTP), (False, "RoutePending"), id="nobody answered"),
        pytest.param({"status": {"parents": None}}, {}, (False, "RoutePending"), id="strange status"),
        pytest.param(
            route(("Accepted", "False", "NotAllowedByListeners")), {}, (False, "RouteNotAccepted"), id="refused"
        ),
        pytest.param(
            route(("Accepted", "True", ""), ("ResolvedRefs", "False", "BackendNotFound")),
            {},
            (False, "BackendsNotResolved"),
            id="no backend",
        ),
        pytest.param(route(("Accepted", "True", "")), {}, (False, "BackendsNotResolved"), id="half an answer"),
        pytest.param(TAKEN, {}, (True, "Programmed"), id="taken"),
        pytest.param(TAKEN, gateway(HTTP), (True, "Programmed"), id="taken by a gateway that is up"),
        pytest.param(TAKEN, {EDGE: {}}, (False, "GatewayNotProgrammed"), id="a gateway that nobody has looked at"),
        pytest.param(
            TAKEN,
            {EDGE: {"status": {"conditions": [{"type": "Programmed", "status": "False"}]}}},
            (False, "GatewayNotProgrammed"),
            id="a gateway that serves nothing",
        ),
    ],
)
def test_verdict(live: Obj, gateways: dict[GatewayKey, Obj | None], want: tuple[bool, str]) -> None:
    good, reason, message = verdict(cluster(), live, gateways)
    assert (good, reason) == want
    assert message


def test_a_refusal_carries_the_gateways_own_words_and_the_way_out_where_there_is_one() -> None:
    _, _, message = verdict(cluster(), route(("Accepted", "False", "NotAllowedByListeners")), {})
    assert message.startswith("Gateway infra/edge: NotAllowedByListeners: m; let the listener take routes of this")
    _, _, message = verdict(cluster(), route(("Accepted", "False", "Unheard")), {})
    assert message == "Gateway infra/edge: Unheard: m"


def test_a_gateway_that_serves_nothing_says_why() -> None:
    told = {"type": "Programmed", "status": "False", "reason": "NoResources", "message": "no proxy is up"}
    _, _, message = verdict(cluster(), TAKEN, {EDGE: {"status": {"conditions": [told]}}})
    assert "Gateway infra/edge serves nothing yet: NoResources: no proxy is up" in message


@pytest.mark.parametrize(
    ("observed", "want"),
    [
        pytest.param(3, (True, "Programmed"), id="for the route as it is"),
        pytest.param(2, (False, "RoutePending"), id="for an earlier route"),
        pytest.param(None, (True, "Programmed"), id="for a route that is not told"),
    ],
)
def test_a_verdict_counts_for_the_route_it_was_made_for(observed: int | None, want: tuple[bool, str]) -> None:
    live = copy.deepcopy(TAKEN)
    live["metadata"] = {"generation": 3}
    for condition in live["status"]["parents"][0]["conditions"]:
        condition["observedGeneration"] = observed
    assert verdict(cluster(), live, {})[:2] == want


@pytest.mark.parametrize(
    ("named", "told", "want"),
    [
        pytest.param({"sectionName": "tls"}, {"sectionName": "web"}, "RoutePending", id="another listener"),
        pytest.param({"sectionName": "tls"}, {}, "RoutePending", id="no listener told"),
        pytest.param({"port": 443}, {"port": 80}, "RoutePending", id="another port"),
        pytest.param({"port": 443, "sectionName": "tls"}, {"port": 443, "sectionName": "tls"}, "Programmed", id="same"),
        pytest.param({}, {"kind": "Service", "group": ""}, "RoutePending", id="another kind"),
        pytest.param({}, {"kind": "Gateway", "group": "gateway.networking.k8s.io"}, "Programmed", id="defaults told"),
    ],
)
def test_a_parent_is_all_of_its_reference(named: Obj, told: Obj, want: str) -> None:
    edge = {"name": "edge", "namespace": "infra"}
    live = copy.deepcopy(TAKEN)
    live["status"]["parents"][0]["parentRef"] = edge | told
    assert verdict(cluster(parentRefs=[edge | named]), live, {})[1] == want


def test_one_listener_that_took_the_route_does_not_speak_for_another() -> None:
    edge = {"name": "edge", "namespace": "infra"}
    live = copy.deepcopy(TAKEN)
    live["status"]["parents"][0]["parentRef"] = edge | {"sectionName": "web"}
    parents = [edge | {"sectionName": "web"}, edge | {"sectionName": "tls"}]
    assert verdict(cluster(parentRefs=parents), live, {})[1] == "RoutePending"


class Counting(FakeKube):
    reads = 0

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        self.reads += 1
        await asyncio.sleep(0)
        return await super().get(kind, namespace, name)


async def test_many_resources_behind_one_gateway_read_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kube = Counting()
    kube.add(GATEWAY, {"metadata": {"name": "edge", "namespace": "infra"}})
    reader = GatewayReader(kube)
    found = await asyncio.gather(*(read_gateways(reader, cluster()) for _ in range(5)))
    assert (kube.reads, [set(item) for item in found]) == (1, [{EDGE}] * 5)
    monkeypatch.setattr(routes, "_KEPT_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    await read_gateways(reader, cluster())
    assert kube.reads == 2, "and again when that is too old"


async def test_a_gateway_that_does_not_exist_is_none_and_one_that_may_not_be_read_is_left_out() -> None:
    kube = FakeKube()
    assert await read_gateways(GatewayReader(kube), cluster()) == {EDGE: None}
    kube.fail = lambda verb, kind, name: Forbidden("no", status=403)
    assert await read_gateways(GatewayReader(kube), cluster()) == {}


@pytest.mark.parametrize(
    ("kind", "reason", "want", "words"),
    [
        ("Accepted", "NotAllowedByListeners", "RouteNotAccepted", "allowedRoutes"),
        ("Accepted", "NoMatchingListenerHostname", "RouteNotAccepted", "spec.gateway.hostnames"),
        ("Accepted", "NoMatchingParent", "RouteNotAccepted", "no such listener"),
        ("ResolvedRefs", "RefNotPermitted", "BackendsNotResolved", "ReferenceGrant"),
        ("BackendsAvailable", "EndpointsNotFound", "BackendsNotAvailable", "EndpointsNotFound: none"),
    ],
)
def test_a_refusal_names_the_way_out(kind: str, reason: str, want: str, words: str) -> None:
    conditions = [{"type": name, "status": "True"} for name in ("Accepted", "ResolvedRefs") if name != kind]
    conditions.append({"type": kind, "status": "False", "reason": reason, "message": "none"})
    parent = {"parentRef": {"name": "edge", "namespace": "infra"}, "conditions": conditions}
    live = {"metadata": {"generation": 1}, "spec": {}, "status": {"parents": [parent]}}
    good, said, text = verdict(cluster(), live, gateway(HTTP))
    assert (good, said) == (False, want)
    assert words in text
