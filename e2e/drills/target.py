"""What a drill is run on: one served resource, behind a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import yaml

from e2e import api, resources, stack
from e2e.api import Api, Obj
from e2e.cluster import Cluster
from e2e.cluster.provider import ZONES
from e2e.demo import __main__ as demo
from e2e.demo.watch import condition, conditions_text
from e2e.drills.timeline import ROLE, Group, is_ready, label, of_group, weights
from e2e.progress import step

NAMESPACE = "drills"
STALL_SECONDS = 20
"""spec.health.stallSeconds of what is served: longer than a step of a real model on a busy machine."""
LOST_SECONDS = 30
"""spec.health.memberLostSeconds: the default."""
MEMBERS = 2
"""Pods of a group."""

_ENGINE_PORT = 8000
_SETTLED_SECONDS = 150.0
"""A zone that was out is to be well for ten seconds, complete a prompt, and take its share back in a minute."""
_ZONE_LABEL = "topology.kubernetes.io/zone"
_LEADER_WORKER_SETS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/{namespace}/leaderworkersets"
_HISTORY = "trireme.dev/history"
_DEPLOYMENTS = "/apis/apps/v1/namespaces/{namespace}/deployments"
_SAMPLE = stack.REPOSITORY / "samples" / "smollm2-pp2.yaml"


class Engine(StrEnum):
    """What runs in the pods."""

    DOUBLE = "double"
    VLLM = "vllm"


@dataclass(frozen=True)
class Layout:
    """One resource: the groups of each zone, what its spec and its way in have besides, and nodes that count as another
    zone's.
    """

    name: str
    groups: Mapping[str, int]
    spec: Mapping[str, Any] = field(default_factory=dict)
    gateway: Mapping[str, Any] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)

    def relabel(self, cluster: Cluster, *, back: bool = False) -> None:
        """Let nodes count as those of another zone, or of their own again."""
        for node, zone in self.moved.items():
            cluster.kubectl("label", "node", node, f"{_ZONE_LABEL}={ZONES[node] if back else zone}", "--overwrite")


PAIR = Layout("drill", {"zone-a": 1, "zone-b": 1})
ONE_ZONE = Layout("drill-zone", {"zone-b": 2})
# Pods of a group go to different nodes where a zone has more than one.
_APART = {
    "weight": 100,
    "podAffinityTerm": {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"trireme.dev/cluster": "drill-wide"}},
    },
}
WIDE = Layout(
    "drill-wide",
    {"zone-a": 1, "zone-b": 1},
    {
        "podTemplate": {
            "spec": {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_APART]}}}
        }
    },
    moved={"node-c": "zone-a"},
)


@dataclass(frozen=True)
class Target:
    """A served resource; ``load_seconds`` is about how long its engine needs to load, at most."""

    engine: Engine
    layout: Layout
    cluster: Cluster
    kube: Api
    url: str
    """Of the gateway, in the cluster's network."""
    load_seconds: float
    namespace: str = NAMESPACE

    @property
    def name(self) -> str:
        return self.layout.name

    @property
    def path(self) -> str:
        return resources.path(self.namespace, self.name)

    @property
    def route_path(self) -> str:
        return f"/apis/gateway.networking.k8s.io/v1/namespaces/{self.namespace}/httproutes/{self.name}"

    def watch_path(self, collection: str) -> str:
        """Where all objects of one kind that belong to the resource are watched, as in ``api/v1`` and ``pods``."""
        group, _, plural = collection.rpartition("/")
        selector = f"labelSelector=trireme.dev/cluster%3D{self.name}"
        if plural == "inferenceclusters":
            selector = f"fieldSelector=metadata.name%3D{self.name}"
        return f"/{group}/namespaces/{self.namespace}/{plural}?{selector}"

    def host(self) -> str:
        return f"{self.name}.test"

    def pods(self) -> list[Obj]:
        return resources.pods(self.kube, self.namespace, self.name)

    def group(self, group: Group) -> list[Obj]:
        """The pods of a group, the leader first."""
        return of_group(self.pods(), group)

    def leaders(self) -> list[Obj]:
        """The first pod of every group: those whose engines answer."""
        return [pod for pod in self.pods() if label(pod, ROLE) == "leader"]

    def engine_path(self, pod: Obj) -> str:
        """Where a pod's engine is reached through the API server; what it serves follows."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}:{_ENGINE_PORT}/proxy"

    def set_spec(self, **changes: Any) -> None:
        """Merge fields into the spec, as a user's patch does."""
        self.kube.merge_patch(self.path, {"spec": changes})

    def forget_failures(self) -> None:
        """Every drill begins without a history of failures, which would make its group wait longer and longer."""
        collection = _LEADER_WORKER_SETS.format(namespace=self.namespace)
        for each in self.kube.items(f"{collection}?labelSelector=trireme.dev/cluster%3D{self.name}"):
            self.kube.merge_patch(
                f"{collection}/{each['metadata']['name']}", {"metadata": {"annotations": {_HISTORY: None}}}
            )

    def wait_until_whole(self, groups: Mapping[str, int] | None = None) -> None:
        """Wait until all groups are ready, get traffic, and a running operator says so.

        Raises TimeoutError with the resource's conditions.
        """
        wanted = self.layout.groups if groups is None else groups

        def whole() -> bool:
            resource = self.kube.get(self.path)
            pods = self.pods()
            ready = len(pods) == MEMBERS * sum(wanted.values()) and all(map(is_ready, pods))
            if not ready or condition(resource, "Ready").get("status") != "True":
                return False
            route = self.kube.find(self.route_path)
            given = route is not None and all(0 not in weights(route, zone) for zone in wanted)
            return given and available(self.kube, stack.NAMESPACE)

        try:
            api.wait_until(whole, timeout_seconds=90 + self.load_seconds, what=f"{self.name} to be whole")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {conditions_text(self.kube.get(self.path))}") from error

    def wait_until_settled(self) -> None:
        """Wait until each zone has its whole share of the traffic. Raises TimeoutError with what the status says."""
        seen: list[tuple[str, str]] = []

        def settled() -> bool:
            zones = self.kube.get(self.path).get("status", {}).get("zones", [])
            seen[:] = [(zone["name"], zone["weightReason"]) for zone in zones]
            return {name for name, reason in seen if reason == "Healthy"} >= self.layout.groups.keys()

        try:
            api.wait_until(settled, timeout_seconds=_SETTLED_SECONDS, what="each zone to have its share")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {seen}") from error


def available(kube: Api, namespace: str) -> bool:
    """Whether every Deployment of a namespace has a pod that is ready, if it is to have any."""
    found = kube.items(_DEPLOYMENTS.format(namespace=namespace))
    return all(each["spec"]["replicas"] == 0 or each.get("status", {}).get("readyReplicas") for each in found)


class Site:
    """A namespace with a Gateway, in which one layout at a time is served."""

    def __init__(self, cluster: Cluster, kube: Api, engine: Engine, namespace: str = NAMESPACE) -> None:
        self._cluster = cluster
        self._kube = kube
        self._engine = engine
        self._namespace = namespace
        self._url = ""
        self._target: Target | None = None

    def open(self) -> None:
        """Make the namespace and its Gateway, in place of what an earlier run left."""
        self.close()
        gone = f"/api/v1/namespaces/{self._namespace}"
        api.wait_until(
            lambda: self._kube.find(gone) is None, timeout_seconds=240, what=f"namespace {self._namespace} to be gone"
        )
        stack.namespace(self._cluster, self._namespace)
        gateway = (demo.MANIFESTS / "gateway.yaml").read_text()
        self._cluster.kubectl("apply", "--server-side", "--namespace", self._namespace, "-f", "-", input=gateway)
        self._url = f"http://{demo.gateway_service(self._kube, self._namespace)['spec']['clusterIP']}"
        api.wait_until(
            lambda: available(self._kube, "envoy-gateway-system"),
            timeout_seconds=90,
            what="the gateway's proxy to be ready",
        )

    def close(self) -> None:
        self._leave()
        path = f"/api/v1/namespaces/{self._namespace}"
        if self._kube.find(path) is not None:
            self._kube.delete(path)

    def target(self, layout: Layout) -> Target:
        """The layout, served, in place of the one before."""
        if self._target is not None and self._target.layout == layout:
            return self._target
        self._leave()
        layout.relabel(self._cluster)
        if self._engine is Engine.VLLM and layout.moved:
            stack.load(self._cluster, "engine-cpu", nodes=tuple(layout.moved))
        load = 15.0 if self._engine is Engine.DOUBLE else 400.0
        self._target = Target(self._engine, layout, self._cluster, self._kube, self._url, load, self._namespace)
        resources.apply(self._cluster, self._namespace, manifest(layout, self._engine))
        with step(f"wait until {self._namespace}/{layout.name} is whole", expected_seconds=load):
            self._target.wait_until_whole()
        return self._target

    def _leave(self) -> None:
        if self._target is None:
            return
        old, self._target = self._target, None
        self._cluster.kubectl(
            "delete",
            "inferenceclusters",
            old.name,
            "--namespace",
            self._namespace,
            "--ignore-not-found",
            "--wait=false",
        )
        api.wait_until(lambda: not old.pods(), timeout_seconds=180, what=f"the pods of {old.name} to be gone")
        old.layout.relabel(self._cluster, back=True)


@contextmanager
def site(cluster: Cluster, kube: Api, engine: Engine, namespace: str = NAMESPACE) -> Iterator[Site]:
    """Where drills are run; taken away afterwards."""
    if engine is Engine.DOUBLE:
        stack.load(cluster, "engine-double")
    else:
        stack.load(cluster, "engine-cpu", nodes=stack.ENGINE_NODES)
    place = Site(cluster, kube, engine, namespace)
    try:
        with step(f"make the namespace {namespace} and its Gateway"):
            place.open()
        yield place
    finally:
        place.close()  # takes a minute by itself: proxies and engines end gracefully


def manifest(layout: Layout, engine: Engine) -> Obj:
    """The resource of a layout. The double's tokens are slow, so that short answers overlap and long ones are cheap."""
    routes = {"parentRefs": [{"name": demo.GATEWAY}], "hostnames": [f"{layout.name}.test"], **layout.gateway}
    common: Obj = {"gateway": routes, "health": {"stallSeconds": STALL_SECONDS}, "zones": _zones(layout.groups.items())}
    if engine is Engine.VLLM:
        sample: Obj = yaml.safe_load(_SAMPLE.read_text())
        sample["metadata"] = {"name": layout.name}
        sample["spec"] |= common | dict(layout.spec)
        sample["spec"]["model"] |= {"servedName": layout.name}
        sample["spec"]["engine"]["config"] |= {"maxNumSeqs": 32}  # one group has room for all that two are asked
        return sample
    body = resources.double(layout.name)
    body["spec"] |= common
    body["spec"]["engine"] |= {"config": {"maxNumSeqs": 512}}
    # More of a busy node than engines that load beside it (100m): a probe that is late takes a pod out of rotation.
    body["spec"]["resources"] |= {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    overlay: Obj = {"podTemplate": {"spec": {}}} | dict(layout.spec)
    containers = [{"name": "engine", "env": [{"name": "DOUBLE_STEP_SECONDS", "value": "0.1"}]}]
    pod_spec = overlay["podTemplate"]["spec"] | {"containers": containers}
    body["spec"] |= overlay | {"podTemplate": {"spec": pod_spec}}
    return body


def _zones(groups: Iterable[tuple[str, int]]) -> list[Obj]:
    return [{"name": zone, "replicas": count, "weight": 50} for zone, count in groups]
