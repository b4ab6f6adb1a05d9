"""Each rule of the resource, broken once: for the API server and for the offline check alike."""

import copy
from typing import Any

from tests import rule_cases_network as network
from tests import rule_cases_network_policy as network_policy
from tests import rule_cases_preflight as preflight
from tests import rule_cases_signals as signals
from tests.rule_cases_model import BROKEN as BROKEN_MODEL
from tests.unit.controller_samples import resource

SCALING: dict[str, Any] = {"maxReplicas": 4, "metrics": {"cpu": 70}}
REQUESTS: dict[str, Any] = {"requests": {"cpu": "1"}}

BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("", {"name": "x" * 41}),
    ("", {"name": "llm-http"}),
    ("spec", {"replicas": 2}),
    ("spec", {"parallelism": {"tensor": 2, "pipeline": 2}, "accelerator": {"resource": "cpu", "perPod": 3}}),
    ("spec", {"parallelism": {"tensor": 4, "pipeline": 3}, "accelerator": {"resource": "cpu", "perPod": 6}}),
    ("spec", {"parallelism": {"tensor": 2, "pipeline": 2, "data": 3}, "accelerator": {"resource": "cpu", "perPod": 8}}),
    ("spec", {"parallelism": {"pipeline": 2, "loadBalancing": "Internal"}}),
    ("spec", {"parallelism": {"tensor": 2, "pipeline": 2, "data": 2, "loadBalancing": "External"}, "accelerator": {}}),
    ("spec", {"parallelism": {"data": 4, "loadBalancing": "Hybrid"}}),
    ("spec", {"parallelism": {"data": 4, "loadBalancing": "Hybrid"}, "accelerator": {"perPod": 4}}),
    ("spec", {"parallelism": {"pipeline": 2, "expert": True}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["--enable-expert-parallel"]}}),
    *BROKEN_MODEL,
    ("spec.accelerator.resource", {"accelerator": {"resource": "gpu"}}),
    ("spec.accelerator", {"accelerator": {"resource": "cpu", "memory": "80Gi"}}),
    ("spec.resources", {"resources": {"requests": {"cpu": "8"}, "limits": {"cpu": "500m"}}}),
    ("spec.resources", {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
    ("spec.restarts", {"restarts": {"windowSeconds": 60, "backoffSeconds": 60}}),
    ("spec.restarts", {"restarts": {"backoffSeconds": 1800}}),
    ("spec.health", {"health": {"memberSilentSeconds": 30}}),
    ("spec.health", {"health": {"memberLostSeconds": 3}}),
    ("spec.health", {"health": {"memberSilentSeconds": 60, "memberLostSeconds": 60}}),
    ("spec.health.canary", {"health": {"canary": {"mode": "Disabled", "maxTokens": 1}}}),
    ("spec.zones", {"zones": [{"name": "a", "weight": 0}, {"name": "b", "weight": 0}]}),
    ("spec.service", {"service": {"profile": "aws-nlb"}}),
    ("spec.service", {"service": {"type": "NodePort", "loadBalancerClass": "service.k8s.aws/nlb"}}),
    ("spec.service", {"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}),
    ("spec.service", {"service": {"externalTrafficPolicy": "Local"}}),
    ("spec.service", {"service": {"sessionAffinitySeconds": 60}}),
    ("spec.monitoring", {"monitoring": {"podMonitor": "Never", "podMonitorLabels": [{"name": "a"}]}}),
    (
        "spec.monitoring.podMonitorLabels[].name",
        {"monitoring": {"podMonitorLabels": [{"name": "trireme.dev/cluster"}]}},
    ),
    ("spec.service.annotations[].name", {"service": {"annotations": [{"name": "trireme.dev/x", "value": "1"}]}}),
    *network.BROKEN,
    *network_policy.BROKEN,
    *preflight.BROKEN,
    ("spec.gateway.hostnames[]", {"gateway": {"parentRefs": [{"name": "g"}], "hostnames": ["10.0.0.1"]}}),
    ("spec.gateway.paths[]", {"gateway": {"parentRefs": [{"name": "g"}], "paths": ["v1"]}}),
    ("spec.autoscaling", {"autoscaling": {**SCALING, "minReplicas": 5}, "resources": REQUESTS}),
    *signals.BROKEN,
    *(
        (f"spec.autoscaling.behavior.{way}", {"autoscaling": {**SCALING, "behavior": {way: rules}}})
        for way in ("scaleUp", "scaleDown")
        for rules in (
            {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 1},
            {"selectPolicy": "Disabled", "tolerancePercent": 5},
            {"selectPolicy": "Disabled", "policies": [{"type": "Groups", "value": 1, "periodSeconds": 1}]},
        )
    ),
    ("spec", {"autoscaling": SCALING}),
    ("spec", {"autoscaling": SCALING, "resources": {"requests": {"cpu": "0"}}}),
    ("spec", {"autoscaling": {**SCALING, "metrics": {"memory": 80}}, "resources": REQUESTS}),
    ("spec", {"zones": [{"name": "a", "minReplicas": 1}]}),
    ("spec", {"zones": [{"name": "a"}, {"name": "b", "maxReplicas": 2}]}),
    ("spec", {"autoscaling": SCALING, "resources": REQUESTS, "zones": [{"name": "a", "minReplicas": 5}]}),
    ("spec", {"autoscaling": SCALING, "resources": REQUESTS, "zones": [{"name": "a", "replicas": 5}]}),
    ("spec", {"autoscaling": SCALING, "resources": REQUESTS, "zones": [{"name": "a", "replicas": 0}]}),
    ("spec", {"autoscaling": SCALING, "resources": REQUESTS, "zones": None, "replicas": 5}),
]
"""Where the broken rule stands, as `Rule.where` says it, and the fields that break it: the root's of the metadata, any
other's of the spec."""


_SCALED: dict[str, Any] = {"autoscaling": SCALING, "resources": REQUESTS}
BROKEN_UPDATES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("spec", {**_SCALED, "zones": [{"name": "a"}]}, {"zones": [{"name": "a"}]}),
    ("spec", {**_SCALED, "zones": None}, {"zones": None}),
]
"""Where a rule about updates stands, the fields of the spec before, and those after that break it."""

GOOD_UPDATES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *(({"zones": spec.get("zones", [{"name": "a"}])}, spec) for spec in signals.GOOD),
    ({"health": {}}, {"health": {"memberSilentSeconds": 29, "canary": {"mode": "Disabled"}}}),
    ({"health": {"memberLostSeconds": 4}}, {"health": {"canary": {"mode": "Enabled", "maxTokens": 64}}}),
    ({**_SCALED, "zones": [{"name": "a"}]}, {"zones": [{"name": "a", "replicas": 2}]}),
    ({**_SCALED, "zones": None}, {"zones": None, "replicas": 2}),
    ({"zones": [{"name": "a"}]}, {**_SCALED, "zones": [{"name": "a"}]}),
    ({"restarts": {"limit": 0, "windowSeconds": 60}}, {"restarts": {"backoffSeconds": 1799}}),
    ({"restarts": {}}, {"restarts": {"windowSeconds": 60, "backoffSeconds": 0}}),
]


def broken(where: str, spec: dict[str, Any], *, namespace: str) -> dict[str, Any]:
    """The document of a case, in a namespace."""
    document = copy.deepcopy(resource(**(spec if where else {})))
    document["metadata"] = {"name": "llm", "namespace": namespace} | ({} if where else spec)
    return document


TRANSITIONS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "size": {
            "type": "integer",
            "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "size can not shrink"}],
        },
        "zones": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "kind": {"type": "string"}},
                "x-kubernetes-validations": [
                    {
                        "rule": "self.kind == oldSelf.kind",
                        "message": "kind is fixed",
                        "messageExpression": "'kind of ' + self.name + ' was ' + oldSelf.kind",
                        "fieldPath": ".kind",
                    }
                ],
            },
        },
    },
}
"""A schema whose rules speak about updates, in more ways than our own do."""

UPDATES: list[tuple[Any, Any, list[tuple[str, str]]]] = [
    (None, {"size": 1}, []),
    ({"size": 2}, {"size": 2}, []),
    ({"size": 2}, {"size": 3}, []),
    ({"size": 2}, {"size": 1}, [("size", "size can not shrink")]),
    ({}, {"size": 1}, []),
    (
        {"zones": [{"name": "a", "kind": "x"}, {"name": "b", "kind": "y"}]},
        {"zones": [{"name": "c", "kind": "z"}, {"name": "b", "kind": "x"}]},
        [("zones[1].kind", "kind of b was y")],
    ),
]
"""What was there, what comes, and each broken rule of TRANSITIONS: its path and what it says."""

_BALANCED = {"type": "LoadBalancer"}
SERVICE_UPDATES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (_BALANCED, {**_BALANCED, "profile": "aws-nlb"}, ["spec.service.profile"]),
    ({**_BALANCED, "profile": "aws-nlb"}, _BALANCED, ["spec.service.profile"]),
    (
        {**_BALANCED, "loadBalancerClass": "a/b"},
        {**_BALANCED, "loadBalancerClass": "a/c"},
        ["spec.service.loadBalancerClass"],
    ),
    ({**_BALANCED, "loadBalancerClass": "a/b"}, {"type": "ClusterIP"}, []),
    ({}, {**_BALANCED, "profile": "gke-internal", "loadBalancerClass": "a/b"}, []),
    ({**_BALANCED, "profile": "aws-nlb"}, {**_BALANCED, "profile": "aws-nlb", "externalTrafficPolicy": "Local"}, []),
]
"""``spec.service`` as it was, as it comes, and the paths of the broken rules."""
