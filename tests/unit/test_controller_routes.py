"""What a gateway says about the route, and the URL."""

from typing import Any

import pytest

from tests.unit.controller_samples import resource
from trireme_operator.api import InferenceCluster, parse
from trireme_operator.controller.routes import GatewayKey, url, verdict
from trireme_operator.kube import Obj
from trireme_operator.planning import plan

EDGE: GatewayKey = ("infra", "edge")


def cluster(**gateway: Any) -> InferenceCluster:
    return parse(resource(gateway={"parentRefs": [{"name": "edge", "namespace": "infra"}]} | gateway))


def gateway(*listeners: Obj, address: str = "") -> dict[GatewayKey, Obj | None]:
    addresses = [{"value": address}] if address else []
    return {EDGE: {"spec": {"listeners": list(listeners)}, "status": {"addresses": addresses}}}


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
        pytest.param(
            route(("Accepted", "True", ""), ("ResolvedRefs", "True", "")), {}, (True, "Programmed"), id="taken"
        ),
    ],
)
def test_verdict(live: Obj, gateways: dict[GatewayKey, Obj | None], want: tuple[bool, str]) -> None:
    good, reason, message = verdict(cluster(), live, gateways)
    assert (good, reason) == want
    assert message


def test_a_refusal_carries_the_gateways_own_words() -> None:
    _, _, message = verdict(cluster(), route(("Accepted", "False", "NotAllowedByListeners")), {})
    assert message == "Gateway infra/edge: NotAllowedByListeners: m"
