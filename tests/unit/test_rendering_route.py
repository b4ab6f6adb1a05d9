"""The route and the policy beside it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.resources import cluster
from trireme_operator.api import InferenceCluster, WeightReason
from trireme_operator.planning import Mark, Way, ZoneFacts, ZoneWeight, plan, weights
from trireme_operator.rendering import Settings, backend_traffic_policy, children, http_route
from trireme_operator.rendering.metadata import Obj

ZONES = [{"name": "a", "weight": 60}, {"name": "b", "weight": 40}]


def wanting(**gateway: Any) -> InferenceCluster:
    return cluster(zones=ZONES, gateway={"parentRefs": [{"name": "edge"}]} | gateway)


def route(of: InferenceCluster, weighed: dict[str | None, ZoneWeight] | None = None) -> Obj:
    return http_route(of, plan(of), weighed or weights(plan(of), {}))


def rule(of: InferenceCluster) -> Obj:
    (found,) = route(of)["spec"]["rules"]
    return dict(found)


def test_headers_are_set_for_the_whole_rule() -> None:
    headers = [{"name": "X-Inference-Zone", "value": "distributed"}, {"name": "X-B", "value": "1"}]
    found = rule(wanting(requestHeaders=headers))
    assert found["filters"] == [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}]
    assert all(set(ref) == {"name", "port", "weight"} for ref in found["backendRefs"])
    assert "filters" not in rule(wanting())


@pytest.mark.parametrize(
    ("timeouts", "want"),
    [
        ({}, {"request": "0s"}),
        ({"requestSeconds": 600}, {"request": "600s"}),
        ({"backendRequestSeconds": 60}, {"request": "0s", "backendRequest": "60s"}),
        ({"requestSeconds": 600, "backendRequestSeconds": 60}, {"request": "600s", "backendRequest": "60s"}),
    ],
)
def test_a_stream_is_cut_only_where_the_resource_says_so(timeouts: dict[str, int], want: dict[str, str]) -> None:
    assert rule(wanting(timeouts=timeouts))["timeouts"] == want


def test_the_route_remembers_which_zones_are_out_and_nothing_at_rest() -> None:
    of = wanting()
    mark = Mark(Way.OUT, 17, WeightReason.SILENT)
    weighed: dict[str | None, ZoneWeight] = {
        "a": ZoneWeight(60, WeightReason.HEALTHY),
        "b": ZoneWeight(0, WeightReason.SILENT, mark=mark),
    }
    said = route(of, weighed)["metadata"]["annotations"]["trireme.dev/traffic"]
    assert said == '{"b":{"reason":"Silent","since":17,"way":"Out"}}'
    at_rest = weights(plan(of), {"a": ZoneFacts(ready=1), "b": ZoneFacts(ready=1)})
    assert "trireme.dev/traffic" not in route(of, at_rest)["metadata"]["annotations"]


@pytest.mark.parametrize("policy", [None, "Off"])
def test_no_policy_unless_it_is_asked_for(policy: str | None) -> None:
    of = wanting() if policy is None else wanting(policy=policy)
    assert backend_traffic_policy(of, plan(of)) is None
    assert backend_traffic_policy(cluster(), plan(cluster())) is None


def policy_of(name: str) -> Obj:
    of = wanting(policy=name)
    found = backend_traffic_policy(of, plan(of))
    assert found is not None
    return found


def test_a_careful_policy_sends_again_only_what_no_engine_has_seen() -> None:
    retry = policy_of("Careful")["spec"]["retry"]
    assert retry["retryOn"] == {"triggers": ["connect-failure", "refused-stream", "reset-before-request"]}
    assert "timeout" not in retry["perRetry"], "the first token may take as long as it takes"


def test_an_aggressive_one_also_what_an_engine_may_have_begun() -> None:
    on = policy_of("AggressiveRetry")["spec"]["retry"]["retryOn"]
    assert set(on["triggers"]) > {"connect-failure", "reset", "gateway-error"}
    assert on["httpStatusCodes"] == [503]


def test_the_policy_asks_the_launcher_and_gives_up_nobody_when_all_look_bad() -> None:
    spec = policy_of("Careful")["spec"]
    active = spec["healthCheck"]["active"]
    assert (active["http"]["path"], active["overrides"]["port"]) == ("/readyz", 8001)
    assert spec["healthCheck"]["panicThreshold"] > 0
    assert spec["targetRefs"][0]["name"] == route(wanting())["metadata"]["name"]


def test_the_policy_stands_before_the_route() -> None:
    of = wanting(policy="Careful")
    kinds = [each["kind"] for each in children(of, plan(of), Settings(launcher_image="x"), weights(plan(of), {}))]
    assert kinds.index("BackendTrafficPolicy") < kinds.index("HTTPRoute")
