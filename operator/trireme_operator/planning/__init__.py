"""What a resource comes to, as pure arithmetic: no client, no clock, no environment."""

from __future__ import annotations

from trireme_operator.api.conditions import DrainPhase
from trireme_operator.planning import names
from trireme_operator.planning.autoscaling import (
    QUEUE_LENGTH,
    LargestZone,
    Targets,
    ZoneLoss,
    follows_queue,
    largest_zone,
    source_of_metrics,
    targets,
    zone_loss,
)
from trireme_operator.planning.balancing import Part, Queue, averaged_seconds, whole_of
from trireme_operator.planning.catalogue import look_up
from trireme_operator.planning.decisions import Decision, decide, decisions
from trireme_operator.planning.drain import (
    Drain,
    DrainWish,
    drain,
    drain_wishes,
    group_seats,
    refusal,
    unknown_drains,
    with_drains,
)
from trireme_operator.planning.endpoint_picker import Picker, pickers
from trireme_operator.planning.engine_settings import EngineSetting, engine_settings
from trireme_operator.planning.floor import with_survivor_floor
from trireme_operator.planning.geometry import GroupGeometry, geometry
from trireme_operator.planning.health import HEALTH_DEFAULTS, health_settings
from trireme_operator.planning.history import Failure, History
from trireme_operator.planning.maintenance import Member, Notice, Upkeep, ZoneMembers, upkeep
from trireme_operator.planning.memory import MemoryFit, Verdict
from trireme_operator.planning.model_config import ModelConfig, UnreadableConfigError, read_text
from trireme_operator.planning.model_fit import ModelFit, device_bytes, gib, model_fit
from trireme_operator.planning.pace import Mark, Pace, Way, pace
from trireme_operator.planning.plan import ClusterPlan, Regime, ZonePlan, plan
from trireme_operator.planning.preflight import PreflightPlan, preflight
from trireme_operator.planning.ranks import PodRanks, Rank, pod_ranks
from trireme_operator.planning.replicas import Scale, replicas_to_apply
from trireme_operator.planning.restarts import Permit, RestartPolicy, permit, restart_policy
from trireme_operator.planning.revision import inputs_name, rendering_name, revision_name, template_inputs
from trireme_operator.planning.rollback import Difference, differences, restored_spec
from trireme_operator.planning.rollout import (
    RolloutOrder,
    RolloutPhase,
    RolloutStep,
    ZoneRun,
    rollout_order,
    rollout_step,
)
from trireme_operator.planning.source import Source, SourceKind, source_of
from trireme_operator.planning.traffic import LiveTraffic, ZoneWeight, weights
from trireme_operator.planning.zone_facts import Hold, Proof, Voice, ZoneFacts

__all__ = [
    "HEALTH_DEFAULTS",
    "QUEUE_LENGTH",
    "ClusterPlan",
    "Decision",
    "Difference",
    "Drain",
    "DrainPhase",
    "DrainWish",
    "EngineSetting",
    "Failure",
    "GroupGeometry",
    "History",
    "Hold",
    "LargestZone",
    "LiveTraffic",
    "Mark",
    "Member",
    "MemoryFit",
    "ModelConfig",
    "ModelFit",
    "Notice",
    "Pace",
    "Part",
    "Permit",
    "Picker",
    "PodRanks",
    "PreflightPlan",
    "Proof",
    "Queue",
    "Rank",
    "Regime",
    "RestartPolicy",
    "RolloutOrder",
    "RolloutPhase",
    "RolloutStep",
    "Scale",
    "Source",
    "SourceKind",
    "Targets",
    "UnreadableConfigError",
    "Upkeep",
    "Verdict",
    "Voice",
    "Way",
    "ZoneFacts",
    "ZoneLoss",
    "ZoneMembers",
    "ZonePlan",
    "ZoneRun",
    "ZoneWeight",
    "averaged_seconds",
    "decide",
    "decisions",
    "device_bytes",
    "differences",
    "drain",
    "drain_wishes",
    "engine_settings",
    "follows_queue",
    "geometry",
    "gib",
    "group_seats",
    "health_settings",
    "inputs_name",
    "largest_zone",
    "look_up",
    "model_fit",
    "names",
    "pace",
    "permit",
    "pickers",
    "plan",
    "pod_ranks",
    "preflight",
    "read_text",
    "refusal",
    "rendering_name",
    "replicas_to_apply",
    "restart_policy",
    "restored_spec",
    "revision_name",
    "rollout_order",
    "rollout_step",
    "source_of",
    "source_of_metrics",
    "targets",
    "template_inputs",
    "unknown_drains",
    "upkeep",
    "weights",
    "whole_of",
    "with_drains",
    "with_survivor_floor",
    "zone_loss",
]
