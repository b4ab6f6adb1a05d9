"""The rules of ``spec.failover`` and ``spec.gateway``, each broken once, and what they let pass."""

from typing import Any

_GATEWAY: dict[str, Any] = {"parentRefs": [{"name": "edge"}]}
_ONE: list[dict[str, Any]] = [{"name": "a"}]
_TWO = [*_ONE, {"name": "b"}]
_OF_ZONES = ("returnSeconds", "survivorFloor")
_HEAVY = [{"name": "a", "weight": 60}, {"name": "b", "weight": 40}, {"name": "c", "weight": 0}]
_BY_QUEUES = _GATEWAY | {"balancing": {"acrossZones": "QueueLength", "intervalSeconds": 20}}
_FIELDS = ("detectSeconds", "dwellSeconds", *_OF_ZONES)

_PICKED: dict[str, Any] = _GATEWAY | {"endpointPicker": {}}
_SAME = [{"name": "a", "endpointPickerName": "picker"}, {"name": "b", "endpointPickerName": "picker"}]
_OTHERS = [{"name": "a", "endpointPickerName": "picker-a"}, {"name": "b"}, {"name": "c"}]

BROKEN: list[tuple[str, dict[str, Any]]] = [
    *(("spec", {"zones": _ONE, "gateway": _GATEWAY, "failover": {field: 5}}) for field in _OF_ZONES),
    ("spec", {"zones": _TWO, "gateway": None, "failover": {"returnSeconds": 5}}),
    ("spec", {"zones": _OTHERS, "gateway": _GATEWAY}),
    ("spec", {"zones": _OTHERS, "gateway": None}),
    ("spec", {"zones": _ONE, "gateway": _GATEWAY | {"endpointPicker": {"name": "picker"}}}),
    ("spec.zones", {"zones": _SAME, "gateway": _PICKED}),
    ("spec", {"zones": None, "gateway": _BY_QUEUES}),
    ("spec", {"zones": [*_ONE, {"name": "b", "weight": 0}], "gateway": _BY_QUEUES}),
    ("spec", {"zones": [*_HEAVY, {"name": "d", "weight": 9}], "gateway": _BY_QUEUES}),
    (
        "spec.gateway.balancing",
        {"zones": _TWO, "gateway": _GATEWAY | {"balancing": {"acrossZones": "ReadyGroups", "intervalSeconds": 20}}},
    ),
    (
        "spec.gateway.requestHeaders[].name",
        {"gateway": _GATEWAY | {"requestHeaders": [{"name": "Host", "value": "x"}]}},
    ),
    ("spec.gateway.requestHeaders[].name", {"gateway": _GATEWAY | {"requestHeaders": [{"name": "a b", "value": "x"}]}}),
    (
        "spec.gateway.timeouts",
        {"gateway": _GATEWAY | {"timeouts": {"requestSeconds": 5, "backendRequestSeconds": 6}}},
    ),
    (
        "spec.gateway.timeouts",
        {"gateway": _GATEWAY | {"timeouts": {"requestSeconds": 5, "backendRequestSeconds": 0}}},
    ),
]
GOOD: list[dict[str, Any]] = [
    {"zones": _OTHERS, "gateway": _PICKED},
    {"zones": None, "gateway": _GATEWAY | {"endpointPicker": {"name": "picker", "port": 9002}}},
    {"zones": None, "gateway": _GATEWAY | {"endpointPicker": {"failureMode": "FailClose"}}},
    {"zones": _HEAVY, "gateway": _BY_QUEUES},
    {"zones": _ONE, "gateway": _GATEWAY | {"balancing": {"acrossZones": "ReadyGroups"}}},
    {"zones": _TWO, "gateway": _GATEWAY, "failover": {**dict.fromkeys(_FIELDS, 5), "replaceLostPods": "Force"}},
    {"zones": _ONE, "failover": {"detectSeconds": 5, "dwellSeconds": 5, "replaceLostPods": "Force"}},
    {"gateway": _GATEWAY | {"requestHeaders": [{"name": "X-Inference-Zone", "value": "spread over all"}]}},
    {"gateway": _GATEWAY | {"timeouts": {"requestSeconds": 0, "backendRequestSeconds": 6}}},
    {"gateway": _GATEWAY | {"timeouts": {"requestSeconds": 6, "backendRequestSeconds": 6}}},
]
