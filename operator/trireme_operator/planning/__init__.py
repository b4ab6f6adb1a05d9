"""What a resource comes to, as pure arithmetic: no client, no clock, no environment."""

from __future__ import annotations

from trireme_operator.planning import names
from trireme_operator.planning.engine_settings import EngineSetting, engine_settings
from trireme_operator.planning.geometry import GroupGeometry, geometry
from trireme_operator.planning.plan import ClusterPlan, ZonePlan, plan
from trireme_operator.planning.ranks import PodRanks, Rank, pod_ranks
from trireme_operator.planning.revision import inputs_name, rendering_name, revision_name, template_inputs
from trireme_operator.planning.rollback import Difference, differences, restored_spec
from trireme_operator.planning.source import Source, SourceKind, source_of
from trireme_operator.planning.traffic import ZoneWeight, weights

__all__ = [
    "ClusterPlan",
    "Difference",
    "EngineSetting",
    "GroupGeometry",
    "PodRanks",
    "Rank",
    "Source",
    "SourceKind",
    "ZonePlan",
    "ZoneWeight",
    "differences",
    "engine_settings",
    "geometry",
    "inputs_name",
    "names",
    "plan",
    "pod_ranks",
    "rendering_name",
    "restored_spec",
    "revision_name",
    "source_of",
    "template_inputs",
    "weights",
]
