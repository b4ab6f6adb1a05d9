"""What an autoscaler can go by: each rule about it broken, and specs that break none."""

from typing import Any

_KEDA = {"serverAddress": "http://prometheus.monitoring:9090"}
_REQUESTS: dict[str, Any] = {"requests": {"cpu": "1"}}
_TWO_ZONES: list[dict[str, Any]] = [{"name": "a"}, {"name": "b"}]
_PODS = {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"averageValue": "1"}}}
_OBJECT = {"apiVersion": "v1", "kind": "Service", "name": "s"}


def scaled(**fields: Any) -> dict[str, Any]:
    return {"autoscaling": {"maxReplicas": 4, **fields}}


def _object(target: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Object", "object": {"describedObject": _OBJECT, "metric": {"name": "m"}, "target": target}}


def _external(target: dict[str, Any]) -> dict[str, Any]:
    return {"type": "External", "external": {"metric": {"name": "m"}, "target": target}}


def _resource(target: dict[str, Any], *, name: str = "cpu", **more: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": target, **more}}


_METRIC = "spec.autoscaling.customMetrics[]"
_BOTH = {"value": "1", "averageValue": "1"}
BROKEN: list[tuple[str, dict[str, Any]]] = [
    (
        "spec.autoscaling.behavior",
        scaled(behavior={"scaleUp": {"selectPolicy": "Disabled"}, "scaleDown": {"selectPolicy": "Disabled"}}),
    ),
    (_METRIC, scaled(customMetrics=[{"type": "External"}])),
    (_METRIC, scaled(customMetrics=[{**_PODS, "type": "Object"}])),
    (_METRIC, scaled(customMetrics=[{**_PODS, "external": _external({"value": "1"})["external"]}])),
    (
        f"{_METRIC}.pods.target",
        scaled(customMetrics=[{"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"averageValue": "0"}}}]),
    ),
    *((f"{_METRIC}.object.target", scaled(customMetrics=[_object(target)])) for target in ({}, _BOTH)),
    *((f"{_METRIC}.object.target", scaled(customMetrics=[_object({each: 0})])) for each in _BOTH),
    *((f"{_METRIC}.external.target", scaled(customMetrics=[_external(target)])) for target in ({}, _BOTH)),
    *((f"{_METRIC}.external.target", scaled(customMetrics=[_external({each: "0m"})])) for each in _BOTH),
    (f"{_METRIC}.resource.target", scaled(customMetrics=[_resource({})])),
    (f"{_METRIC}.resource.target", scaled(customMetrics=[_resource({"averageValue": "0"})])),
    ("spec", scaled(customMetrics=[_resource({"averageUtilization": 70})])),
    ("spec", scaled(customMetrics=[_PODS, _resource({"averageUtilization": 70}, name="memory", container="engine")])),
    ("spec.autoscaling", scaled(source="KEDA")),
    ("spec.autoscaling", scaled(source="KEDA", metrics={"queueLength": 5, "cpu": 70}) | {"resources": _REQUESTS}),
    ("spec.autoscaling", scaled(keda=_KEDA)),
    ("spec.autoscaling", scaled(source="KEDA", keda=_KEDA, metrics={"cpu": 70}) | {"resources": _REQUESTS}),
    ("spec.autoscaling", scaled(source="KEDA", customMetrics=[_PODS])),
    ("spec.autoscaling", scaled(source="Builtin", metrics={"cpu": 70}) | {"resources": _REQUESTS}),
    ("spec.autoscaling", scaled(source="Builtin", customMetrics=[_PODS])),
    ("spec.autoscaling", scaled(source="PrometheusAdapter", customMetrics=[_external({"value": 1})])),
    (
        "spec.autoscaling",
        scaled(surviveZoneLoss=True, metrics={"memory": 70})
        | {"resources": {"requests": {"memory": "1Gi"}}, "zones": _TWO_ZONES},
    ),
    ("spec", scaled(surviveZoneLoss=True) | {"zones": _TWO_ZONES[:1]}),
    ("spec", scaled(surviveZoneLoss=True) | {"zones": None}),
]

GOOD: list[dict[str, Any]] = [
    scaled(),
    scaled(metrics={}),
    scaled(metrics={"queueLength": 3}, source="Builtin", behavior={"scaleDown": {"selectPolicy": "Disabled"}}),
    scaled(behavior={"scaleUp": {"tolerancePercent": 0}, "scaleDown": {"selectPolicy": "Disabled"}}),
    scaled(source="KEDA", keda={**_KEDA, "authentication": "prom"}),
    scaled(source="KEDA", metrics={"cpu": 70}) | {"resources": _REQUESTS},
    scaled(source="PrometheusAdapter"),
    scaled(source="PrometheusAdapter", customMetrics=[_PODS]),
    scaled(
        customMetrics=[
            _PODS,
            _object({"value": "10"}),
            _external({"averageValue": "500m"}),
            _resource({"averageUtilization": 70}),
            _resource({"averageValue": "2Gi"}, name="memory"),
            _resource({"averageUtilization": 70}, name="memory", container="sidecar"),
        ]
    )
    | {"resources": _REQUESTS},
    scaled(surviveZoneLoss=True) | {"zones": _TWO_ZONES},
    scaled(surviveZoneLoss=False) | {"zones": None},
]
"""Fields of the spec."""
