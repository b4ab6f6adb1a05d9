"""``spec.monitoring``: how metrics are found."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import UNSTORED_DEFAULT, Model, map_by
from trireme_operator.api.selectors import LabelKey, LabelValue


class PodMonitorMode(StrEnum):
    AUTO = "Auto"
    ALWAYS = "Always"
    NEVER = "Never"


class Label(Model):
    """One label of an object."""

    name: LabelKey
    """The label's key."""

    value: LabelValue = ""
    """The label's value."""


class Monitoring(Model):
    """Metrics for Prometheus: the engine's of each serving pod, the launcher's of every pod."""

    pod_monitor: Annotated[PodMonitorMode, Field(json_schema_extra=UNSTORED_DEFAULT)] = PodMonitorMode.AUTO
    """Whether there is a PodMonitor, by which the Prometheus Operator finds the pods. `Auto` (the default): where that
    API is installed, now or later. `Always`: while it is not, the condition `Accepted` is false and says so; the pods
    run all the same. `Never`: no PodMonitor."""

    pod_monitor_labels: list[Label] = Field(default_factory=list, max_length=16, json_schema_extra=map_by("name"))
    """Labels of the PodMonitor, for a Prometheus that takes only PodMonitors with certain labels, such as `release:
    kube-prometheus-stack`."""
