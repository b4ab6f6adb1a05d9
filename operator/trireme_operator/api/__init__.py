"""The resource InferenceCluster: models, rules, conditions and the CustomResourceDefinition made from them."""

from __future__ import annotations

from trireme_operator.api.conditions import ConditionType, Reason, WeightReason
from trireme_operator.api.crd import crd
from trireme_operator.api.parse import parse, read
from trireme_operator.api.resource import API_VERSION, GROUP, KIND, PLURAL, VERSION, InferenceCluster, ObjectMeta, Spec
from trireme_operator.api.status import (
    Condition,
    PlanStatus,
    ScalingDecision,
    StalledGroup,
    Status,
    ZoneAutoscaling,
    ZoneLossStatus,
    ZoneStatus,
)
from trireme_operator.api.violations import InvalidResource, Violation

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "Condition",
    "ConditionType",
    "InferenceCluster",
    "InvalidResource",
    "ObjectMeta",
    "PlanStatus",
    "Reason",
    "ScalingDecision",
    "Spec",
    "StalledGroup",
    "Status",
    "Violation",
    "WeightReason",
    "ZoneAutoscaling",
    "ZoneLossStatus",
    "ZoneStatus",
    "crd",
    "parse",
    "read",
]
