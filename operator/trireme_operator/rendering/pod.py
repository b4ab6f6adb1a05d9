"""The pods of a group, the same in every zone.

They pass Pod Security ``restricted``: a user id of their own, a read-only root file system with memory-backed or empty
directories where something has to be written, no capability, no token of the API server.
"""

from __future__ import annotations

from typing import Any, Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import (
    LABEL_CLUSTER,
    LABEL_ROLE,
    LABEL_ROTATION,
    MANAGED_BY,
    ROLE_LEADER,
    ROLE_WORKER,
    ROTATION_IN,
)
from trireme_operator.api.pod_overlay import ENGINE, LAUNCHER, VOLUME_LAUNCHER
from trireme_operator.api.quantity import canonical
from trireme_operator.api.resource import CPU
from trireme_operator.planning import ClusterPlan
from trireme_operator.rendering import engine, network
from trireme_operator.rendering.model import ModelParts, model_parts
from trireme_operator.rendering.overlay import overlay
from trireme_operator.rendering.scheduling import POD_ANNOTATIONS, keep_together, leaders_apart
from trireme_operator.rendering.settings import Settings

Obj = dict[str, Any]

USER_ID: Final = 64100
_LOST_NODE_SECONDS: Final = 30
_SHIPPED: Final = "/opt/trireme/runtime.pyz"
_INJECTED: Final = "/trireme/runtime.pyz"
_MOUNTS: Final = (
    (VOLUME_LAUNCHER, "/trireme"),
    ("trireme-home", engine.HOME),
    ("trireme-tmp", "/tmp"),  # noqa: S108  (a directory of the pod's own)
    ("trireme-shm", "/dev/shm"),  # noqa: S108
)

CONTAINER_SECURITY: Final[Obj] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
# Containers that a user adds get what Pod Security asks for, and keep a writable file system of their own.
ADDED_CONTAINER_SECURITY: Final[Obj] = {
    key: value for key, value in CONTAINER_SECURITY.items() if key != "readOnlyRootFilesystem"
}


def pod_template(cluster: InferenceCluster, plan: ClusterPlan, settings: Settings, *, leader: bool) -> Obj:
    """The template of leaders or workers, with ``spec.podTemplate`` laid over it."""
    labels = _labels(cluster, leader=leader, serves=leader or plan.geometry.every_pod_serves)
    template = {
        "metadata": {"labels": labels, "annotations": dict(POD_ANNOTATIONS)},
        "spec": _spec(cluster, plan, settings),
    }
    if leader:
        template["spec"]["affinity"] = leaders_apart(cluster)
    extra = cluster.spec.pod_template
    if extra is None:
        keep_together(template["spec"], cluster)
        return template
    merged = overlay(template, {"metadata": extra.metadata, "spec": extra.spec})
    keep_together(merged["spec"], cluster)
    for kind in ("initContainers", "containers"):
        for container in merged["spec"][kind]:
            container["securityContext"] = {**ADDED_CONTAINER_SECURITY, **container.get("securityContext", {})}
    return merged


def _labels(cluster: InferenceCluster, *, leader: bool, serves: bool) -> dict[str, str]:
    labels = {
        MANAGED_BY[0]: MANAGED_BY[1],
        LABEL_CLUSTER: cluster.metadata.name,
        LABEL_ROLE: ROLE_LEADER if leader else ROLE_WORKER,
    }
    return labels | ({LABEL_ROTATION: ROTATION_IN} if serves else {})


def _spec(cluster: InferenceCluster, plan: ClusterPlan, settings: Settings) -> Obj:
    model = model_parts(cluster)
    return {
        "serviceAccountName": plan.service_account_name,
        "automountServiceAccountToken": False,
        # A Service called "vllm" would put VLLM_PORT=tcp://... into the environment, which ends the engine.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": engine.GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{state}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": _LOST_NODE_SECONDS,
            }
            for state in ("not-ready", "unreachable")
        ],
        "initContainers": [_launcher(settings)],
        "containers": [_engine(cluster, plan, model, settings)],
        "volumes": [*_volumes(cluster), *model.volumes, *network.volumes(cluster.spec.network)],
    }


def _launcher(settings: Settings) -> Obj:
    return {
        "name": LAUNCHER,
        "image": settings.launcher_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["cp", _SHIPPED, _INJECTED],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [{"name": VOLUME_LAUNCHER, "mountPath": "/trireme"}],
    }


def _engine(cluster: InferenceCluster, plan: ClusterPlan, model: ModelParts, settings: Settings) -> Obj:
    policy = cluster.spec.engine.image_pull_policy
    return {
        "name": ENGINE,
        "image": cluster.spec.engine.image,
        **({"imagePullPolicy": policy.value} if policy is not None else {}),
        "command": ["python3", _INJECTED],
        "args": engine.command(cluster, model),
        "env": engine.environment(cluster, plan.geometry, model, settings),
        "ports": [
            {"name": "http", "containerPort": engine.ENGINE_PORT, "protocol": "TCP"},
            {"name": "launcher", "containerPort": engine.LAUNCHER_PORT, "protocol": "TCP"},
        ],
        # The first answer counts, since the launcher has waited out silence already (3 s): a leader of a broken group
        # leaves rotation within 5 s. A late one is waited for: on a busy node it is no failure.
        "readinessProbe": _probe("/readyz", period=1, failures=1, timeout=3),
        "livenessProbe": _probe("/livez", period=10, failures=6, timeout=5),
        "resources": _resources(cluster, plan.geometry.ranks_per_pod),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            *(
                {"name": name, "mountPath": path, **({"readOnly": True} if name == VOLUME_LAUNCHER else {})}
                for name, path in _MOUNTS
            ),
            *model.mounts,
            *network.mounts(cluster.spec.network),
        ],
    }


def _probe(path: str, *, period: int, failures: int, timeout: int) -> Obj:
    return {
        "httpGet": {"path": path, "port": "launcher"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _resources(cluster: InferenceCluster, ranks: int) -> Obj:
    wanted, result = cluster.spec.resources, {}
    device = cluster.spec.accelerator.resource
    devices = ({} if device == CPU else {device: str(ranks)}) | network.devices(cluster.spec.network)
    for kind, amounts in (("requests", wanted.requests), ("limits", wanted.limits)):
        values = {"cpu": amounts.cpu, "memory": amounts.memory}
        result[kind] = {name: canonical(value) for name, value in values.items() if value is not None} | devices
    return {kind: amounts for kind, amounts in result.items() if amounts}


def _volumes(cluster: InferenceCluster) -> list[Obj]:
    memory = {"medium": "Memory", "sizeLimit": canonical(cluster.spec.resources.shared_memory)}
    return [{"name": name, "emptyDir": memory if name == "trireme-shm" else {}} for name, _ in _MOUNTS]
