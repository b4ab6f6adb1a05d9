"""InferenceClusters for the tests, and where their children are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.demo.watch import RESOURCES, condition, conditions_text

DOUBLE_IMAGE = "trireme.dev/engine-double:dev"
NEXT_DOUBLE_IMAGE = "trireme.dev/engine-double:next"
"""The same by another name, as a later release has one."""

_CHILDREN = (
    "/apis/leaderworkerset.x-k8s.io/v1/namespaces/{ns}/leaderworkersets",
    "/apis/gateway.networking.k8s.io/v1/namespaces/{ns}/httproutes",
    "/apis/apps/v1/namespaces/{ns}/controllerrevisions",
    "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets",
    "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers",
    "/api/v1/namespaces/{ns}/services",
    "/api/v1/namespaces/{ns}/serviceaccounts",
)


@dataclass(frozen=True)
class Child:
    """One object that Trireme made: its kind, name, path and what identifies its present state."""

    kind: str
    name: str
    path: str
    uid: str
    resource_version: str


def double(name: str, *, zones: tuple[str, ...] = ("zone-a", "zone-b"), pipeline: int = 2, **spec: Any) -> Obj:
    """A resource served by the engine double: groups of ``pipeline`` pods, one group in each zone."""
    body: Obj = {
        "model": {"source": "/models/double", "servedName": name},
        "engine": {"image": DOUBLE_IMAGE},
        "parallelism": {"pipeline": pipeline},
        "accelerator": {"resource": "cpu", "perPod": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "sharedMemory": "16Mi"},
        "zones": [{"name": zone, "replicas": 1, "weight": 50} for zone in zones],
    }
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "InferenceCluster",
        "metadata": {"name": name},
        "spec": body | spec,
    }


def apply(cluster: Cluster, namespace: str, *objects: Obj) -> None:
    """``kubectl apply``, as a user does it."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    cluster.kubectl("apply", "--namespace", namespace, "-f", "-", input=text)


def path(namespace: str, name: str) -> str:
    return f"{RESOURCES}/namespaces/{namespace}/inferenceclusters/{name}"


def wait_for(kube: Api, namespace: str, name: str, kind: str, status: str = "True", *, seconds: float = 150) -> Obj:
    """Wait until the condition ``kind`` has ``status``; gives the resource. The error shows all its conditions."""
    seen: Obj = {}

    def reached() -> bool:
        nonlocal seen
        seen = kube.get(path(namespace, name))
        current = condition(seen, kind)
        generation = current.get("observedGeneration") == seen["metadata"]["generation"]
        return generation and current.get("status") == status

    try:
        wait_until(reached, timeout_seconds=seconds, what=f"{kind}={status} of {name}")
    except TimeoutError as error:
        raise AssertionError(f"{error}: {conditions_text(seen)}") from error
    return seen


def children(kube: Api, namespace: str, name: str) -> list[Child]:
    """Every object labelled as the resource's, in a stable order."""
    found: list[Child] = []
    for template in _CHILDREN:
        base = template.format(ns=namespace)
        for item in kube.items(f"{base}?labelSelector=trireme.dev/cluster%3D{name}"):
            meta = item["metadata"]
            kind = base.rsplit("/", 1)[1]
            # LeaderWorkerSet hands its own labels on to what it makes: only what we own counts.
            owners = {owner["kind"] for owner in meta.get("ownerReferences", [])}
            if "InferenceCluster" in owners:
                found.append(Child(kind, meta["name"], f"{base}/{meta['name']}", meta["uid"], meta["resourceVersion"]))
    return sorted(found, key=lambda child: child.path)


def pods(kube: Api, namespace: str, name: str) -> list[Obj]:
    return kube.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=trireme.dev/cluster%3D{name}")
