"""Services, budgets, NetworkPolicies and PodMonitors, and where pods run: what depends on the resource."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.resources import cluster, raw
from trireme_operator import rendering
from trireme_operator.api import InvalidResource, parse
from trireme_operator.api.service import ServiceProfile
from trireme_operator.planning import plan, revision_name, template_inputs
from trireme_operator.rendering.service_profiles import PROFILES

Obj = dict[str, Any]
ANYBODY: Obj = {"networkPolicy": {"from": [{"namespaceSelector": {}}]}}
ZONES = [{"name": "a"}, {"name": "b"}]


def policy(operator: str = "trireme-system", **spec: Any) -> Any:
    resource = cluster(**spec)
    return rendering.network_policy(
        resource, plan(resource).zones[0], rendering.Settings("x", operator_namespace=operator)
    )


def service(**spec: Any) -> Any:
    resource = cluster(service=spec)
    return rendering.service(resource, plan(resource))


def monitor(**spec: Any) -> Any:
    resource = cluster(monitoring=spec)
    return rendering.pod_monitor(resource, plan(resource))


def pods(**spec: Any) -> tuple[Obj, Obj]:
    resource = cluster(**spec)
    template = rendering.render_template(resource, plan(resource), rendering.Settings("x"))
    return template["leaderTemplate"], template["workerTemplate"]


def test_a_budget_covers_every_pod_of_its_set_and_no_other() -> None:
    resource = cluster(zones=ZONES)
    budgets = [rendering.pod_disruption_budget(resource, zone) for zone in plan(resource).zones]
    assert [budget["metadata"]["name"] for budget in budgets] == ["llama-a", "llama-b"]
    selectors = [budget["spec"]["selector"]["matchLabels"] for budget in budgets]
    assert selectors == [{"leaderworkerset.sigs.k8s.io/name": name} for name in ("llama-a", "llama-b")]
    assert {budget["spec"]["maxUnavailable"] for budget in budgets} == {1}


def test_there_is_no_policy_unless_it_is_asked_for() -> None:
    assert policy() is None


def test_an_operator_outside_of_the_cluster_is_no_peer() -> None:
    inside, outside = policy(**ANYBODY), policy(operator="", **ANYBODY)
    assert len(inside["spec"]["ingress"]) == len(outside["spec"]["ingress"]) + 1
    assert [port["port"] for port in inside["spec"]["ingress"][-1]["ports"]] == [8001]


def test_clients_reach_the_engine_only_and_monitoring_both_ports() -> None:
    peers = {"from": [{"podSelector": {}}], "monitoring": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    ours, clients, scrapers, _ = policy(networkPolicy=peers)["spec"]["ingress"]
    assert ours["ports"] == [{"protocol": "TCP"}]
    assert clients == {"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": 8000}]}
    assert scrapers["from"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert [port["port"] for port in scrapers["ports"]] == [8000, 8001]


@pytest.mark.parametrize(
    ("peer", "path"),
    [
        ({"podSelector": {"matchLabels": {"not a key": "x"}}}, "spec.networkPolicy.from[0].podSelector.matchLabels"),
        ({"ipBlock": {"cidr": "10.0.0.1/8"}}, "spec.networkPolicy.from[0].ipBlock.cidr"),
        ({"ipBlock": {"cidr": "10.0.0.1"}}, "spec.networkPolicy.from[0].ipBlock.cidr"),
        (
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}},
            "spec.networkPolicy.from[0].ipBlock.except[0]",
        ),
        (
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}},
            "spec.networkPolicy.from[0].ipBlock.except[0]",
        ),
        (
            {"ipBlock": {"cidr": "2001:db8::/32", "except": ["10.0.0.0/16"]}},
            "spec.networkPolicy.from[0].ipBlock.except[0]",
        ),
    ],
)
def test_a_peer_that_the_api_server_would_refuse_is_named(peer: Obj, path: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(raw(networkPolicy={"from": [peer]}))
    assert [violation.path for violation in refused.value.violations] == [path]


def test_good_ranges_are_taken() -> None:
    blocks = [
        {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]},
        {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]},
    ]
    parse(raw(networkPolicy={"from": [{"ipBlock": block} for block in blocks]}))
    bad = raw(service={"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8", "10.0.0.0"]})
    with pytest.raises(InvalidResource, match=r"loadBalancerSourceRanges\[1\]"):
        parse(bad)


@pytest.mark.parametrize("profile", list(ServiceProfile))
def test_an_annotation_of_the_resource_replaces_the_profiles(profile: ServiceProfile) -> None:
    name, value = next(iter(PROFILES[profile].items()))
    made = service(type="LoadBalancer", profile=profile.value, annotations=[{"name": name, "value": "mine"}])
    annotations = made["metadata"]["annotations"]
    assert annotations.pop("trireme.dev/rendered-hash")
    assert annotations == {**PROFILES[profile], name: "mine"}
    assert value != "mine"


def test_a_service_says_nothing_that_was_not_set() -> None:
    assert set(service()["spec"]) == {"type", "selector", "ports"}


def test_sessions_stay_with_a_group() -> None:
    spec = service(sessionAffinity="ClientIP")["spec"]
    assert (spec["sessionAffinity"], "sessionAffinityConfig" in spec) == ("ClientIP", False)
    spec = service(sessionAffinity="ClientIP", sessionAffinitySeconds=60)["spec"]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 60}}


def test_a_pod_monitor_reads_engines_where_they_serve_and_every_launcher() -> None:
    launcher, engine = monitor()["spec"]["podMetricsEndpoints"]
    assert (launcher["port"], "relabelings" in launcher) == ("launcher", False)
    (keep,) = engine["relabelings"]
    leader, worker = pods(parallelism={"pipeline": 2})
    assert keep["sourceLabels"] == ["__meta_kubernetes_pod_labelpresent_trireme_dev_rotation"]
    assert (
        "trireme.dev/rotation" in leader["metadata"]["labels"],
        "trireme.dev/rotation" in worker["metadata"]["labels"],
    ) == (
        True,
        False,
    )
    ports = {port["name"] for port in leader["spec"]["containers"][0]["ports"]}
    assert {launcher["port"], engine["port"]} <= ports


def test_labels_of_a_pod_monitor_never_hide_it_from_us() -> None:
    made = monitor(podMonitorLabels=[{"name": "release", "value": "prometheus"}])["metadata"]["labels"]
    assert made["release"] == "prometheus"
    assert made["trireme.dev/cluster"] == "llama"
    assert monitor(podMonitor="Never") is None


def test_groups_that_are_kept_together_are_told_apart_by_their_key() -> None:
    for pod in pods(parallelism={"pipeline": 2}, scheduling={"topologyKey": "rack", "exclusive": True}):
        affinity = pod["spec"]["affinity"]
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        (together,), (apart,) = affinity["podAffinity"][required], affinity["podAntiAffinity"][required]
        key = "leaderworkerset.sigs.k8s.io/group-key"
        assert (together["topologyKey"], together["matchLabelKeys"]) == ("rack", [key])
        assert (apart["topologyKey"], apart["mismatchLabelKeys"]) == ("rack", [key])
        used = {item["key"] for term in (together, apart) for item in term["labelSelector"]["matchExpressions"]}
        assert key not in used, "the API server takes no key in both"


def test_affinity_of_the_overlay_stays_beside_scheduling() -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    own = {"topologyKey": "x", "labelSelector": {"matchLabels": {"a": "b"}}}
    overlay = {"spec": {"affinity": {"podAffinity": {required: [own]}}}}
    for pod in pods(parallelism={"pipeline": 2}, scheduling={"topologyKey": "rack"}, podTemplate=overlay):
        assert [term["topologyKey"] for term in pod["spec"]["affinity"]["podAffinity"][required]] == ["x", "rack"]


def test_scheduling_is_an_input_of_the_template_only_when_it_is_set() -> None:
    plain, together = cluster(), cluster(scheduling={"topologyKey": "rack", "exclusive": True})
    assert "scheduling" not in template_inputs(plain)
    assert revision_name(plain) != revision_name(together)
    for spec in ({"networkPolicy": ANYBODY["networkPolicy"]}, {"monitoring": {"podMonitor": "Never"}}):
        assert revision_name(cluster(**spec)) == revision_name(plain), "no pod is touched"


def test_a_label_without_effect_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidResource, match="a group is one pod") as refused:
        plan(cluster(scheduling={"topologyKey": "rack"}))
    assert refused.value.violations[0].path == "spec.scheduling.topologyKey"
    plan(cluster(scheduling={"topologyKey": "rack", "exclusive": True}))


def test_an_autoscaler_is_told_unless_the_overlay_says_otherwise() -> None:
    key = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    assert {pod["metadata"]["annotations"][key] for pod in pods()} == {"false"}
    other = {"metadata": {"annotations": {key: "true"}}}
    assert {pod["metadata"]["annotations"][key] for pod in pods(podTemplate=other)} == {"true"}


def test_a_priority_class_is_taken() -> None:
    for pod in pods(podTemplate={"spec": {"priorityClassName": "inference"}}):
        assert pod["spec"]["priorityClassName"] == "inference"
