"""The LeaderWorkerSet of a zone, and the group template that all zones of a revision share.

Fields and defaults: sigs.k8s.io/lws v0.9.0, api/leaderworkerset/v1/leaderworkerset_types.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import (
    ANNOTATION_REVISION,
    ANNOTATION_ROLLING_OUT,
    ANNOTATION_ZONE,
)
from trireme_operator.planning import ClusterPlan, ZonePlan, template_inputs
from trireme_operator.rendering.copying import copied
from trireme_operator.rendering.metadata import Obj, metadata, stamp
from trireme_operator.rendering.placement import TEMPLATES, place
from trireme_operator.rendering.pod import pod_template
from trireme_operator.rendering.settings import Settings

_API_VERSION = "leaderworkerset.x-k8s.io/v1"
_KIND = "LeaderWorkerSet"


def render_template(cluster: InferenceCluster, plan: ClusterPlan, settings: Settings) -> Obj:
    """The leaderWorkerTemplate of a revision; nothing in it depends on a zone, so that it can be stored once."""
    return {
        "size": plan.geometry.pods,
        "restartPolicy": "RecreateGroupOnPodRestart",
        "leaderTemplate": pod_template(cluster, plan, settings, leader=True),
        "workerTemplate": pod_template(cluster, plan, settings, leader=False),
    }


def controller_revision(cluster: InferenceCluster, *, name: str, number: int, template: Obj) -> Obj:
    """The stored template, with the inputs that it was made from."""
    return stamp(
        {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": metadata(cluster, name),
            "revision": number,
            "data": {"inputs": template_inputs(cluster), "template": template},
        }
    )


def leader_worker_set(
    cluster: InferenceCluster,
    plan: ClusterPlan,
    zone: ZonePlan,
    *,
    revision_name: str,
    template: Mapping[str, Any],
    rolling_out: str | None = None,
) -> Obj:
    """The LeaderWorkerSet of a zone from its revision's stored template.

    ``rolling_out``: since when (RFC 3339) its groups are being replaced by that template and are not yet all ready.

    Without ``spec.replicas``: a field manager that sets it once and then leaves it out would scale to the default.
    """
    annotations = {ANNOTATION_REVISION: revision_name}
    if rolling_out is not None:
        annotations[ANNOTATION_ROLLING_OUT] = rolling_out
    if zone.name is not None and zone.lws_name != f"{plan.name}-{zone.name}":
        annotations[ANNOTATION_ZONE] = zone.name
    placed: Obj = copied(template)
    for kind in TEMPLATES:
        place(placed[kind], zone, pods=placed["size"])
    return stamp(
        {
            "apiVersion": _API_VERSION,
            "kind": _KIND,
            "metadata": metadata(cluster, zone.lws_name, zone=zone.name, annotations=annotations),
            "spec": {
                "startupPolicy": "LeaderCreated",
                "networkConfig": {"subdomainPolicy": "Shared"},
                "rolloutStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": 0},
                },
                "leaderWorkerTemplate": placed,
            },
        }
    )


def lws_replicas(cluster: InferenceCluster, zone: ZonePlan, replicas: int | None = None) -> Obj:
    """The number of groups alone, by default the plan's, for a field manager of its own.

    Without a hash, which belongs to the other one.
    """
    return {
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": {"name": zone.lws_name, "namespace": cluster.metadata.namespace},
        "spec": {"replicas": zone.replicas if replicas is None else replicas},
    }
