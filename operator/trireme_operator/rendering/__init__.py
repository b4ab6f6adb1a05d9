"""From a resource and its plan to child objects, as plain dicts ready for server-side apply."""

from __future__ import annotations

from trireme_operator.rendering.backend_traffic_policy import backend_traffic_policy, wants_policy
from trireme_operator.rendering.children import autoscaler, beside_groups, children
from trireme_operator.rendering.http_route import http_route
from trireme_operator.rendering.inference_pool import inference_pools, wants_pools
from trireme_operator.rendering.leader_worker_set import (
    controller_revision,
    leader_worker_set,
    lws_replicas,
    render_template,
)
from trireme_operator.rendering.metadata import stamp
from trireme_operator.rendering.network_policy import network_policy
from trireme_operator.rendering.placement import unplace
from trireme_operator.rendering.pod_disruption_budget import pod_disruption_budget
from trireme_operator.rendering.pod_monitor import pod_monitor
from trireme_operator.rendering.service_account import accepted_spec, service_account
from trireme_operator.rendering.services import service, zone_service
from trireme_operator.rendering.settings import Settings

__all__ = [
    "Settings",
    "accepted_spec",
    "autoscaler",
    "backend_traffic_policy",
    "beside_groups",
    "children",
    "controller_revision",
    "http_route",
    "inference_pools",
    "leader_worker_set",
    "lws_replicas",
    "network_policy",
    "pod_disruption_budget",
    "pod_monitor",
    "render_template",
    "service",
    "service_account",
    "stamp",
    "unplace",
    "wants_policy",
    "wants_pools",
    "zone_service",
]
