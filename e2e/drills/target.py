"""What a drill is run on: one served resource with a group in each of two zones, behind a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from e2e import api, reach, resources, stack
from e2e.api import Api, Obj
from e2e.cluster import Cluster
from e2e.demo import __main__ as demo
from e2e.demo.watch import condition, conditions_text
from e2e.drills.timeline import is_ready, of_zone, weights
from e2e.progress import step

BROKEN_ZONE = "zone-a"
OTHER_ZONE = "zone-b"
NAMESPACE = "drills"
NAME = "drill"


class Engine(StrEnum):
    """What runs in the pods."""

    DOUBLE = "double"
    VLLM = "vllm"


@dataclass(frozen=True)
class Target:
    """A served resource; ``load_seconds`` is about how long its engine needs to load, at most."""

    engine: Engine
    kube: Api
    namespace: str
    name: str
    socket: Path
    """A unix socket that leads to the gateway."""
    load_seconds: float

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
        return str(self.kube.get(self.route_path)["spec"]["hostnames"][0])

    def group(self, zone: str) -> list[Obj]:
        """The pods of the zone's one group, the leader first."""
        return of_zone(resources.pods(self.kube, self.namespace, self.name), zone)

    def wait_until_whole(self) -> None:
        """Wait until both groups are ready, get traffic, and a running operator says so.

        Raises TimeoutError with the resource's conditions.
        """

        def whole() -> bool:
            resource = self.kube.get(self.path)
            pods = resources.pods(self.kube, self.namespace, self.name)
            ready = len(pods) == 4 and all(map(is_ready, pods))  # noqa: PLR2004  (two zones, two pods in each)
            if not ready or condition(resource, "Ready").get("status") != "True":
                return False
            return self._operator_runs() and 0 not in weights(self.kube.get(self.route_path), BROKEN_ZONE)

        try:
            api.wait_until(whole, timeout_seconds=60 + self.load_seconds, what=f"{self.name} to be whole")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {conditions_text(self.kube.get(self.path))}") from error

    def _operator_runs(self) -> bool:
        deployment = self.kube.get(f"/apis/apps/v1/namespaces/{stack.NAMESPACE}/deployments/trireme")
        return bool(deployment.get("status", {}).get("readyReplicas"))


@contextmanager
def serving(cluster: Cluster, kube: Api, engine: Engine) -> Iterator[Target]:
    """The target, served. What stands in for the engine is taken away afterwards; the demo's resource stays."""
    namespace = NAMESPACE if engine is Engine.DOUBLE else demo.NAMESPACE
    name = NAME if engine is Engine.DOUBLE else demo.NAME
    try:
        if engine is Engine.DOUBLE:
            _serve_double(cluster, kube)
        else:
            demo.apply(cluster)
        address = demo.gateway_service(kube, namespace)["spec"]["clusterIP"]
        load = 10.0 if engine is Engine.DOUBLE else 400.0
        with reach.socket(cluster, host=address, port=80) as socket:
            target = Target(engine, kube, namespace, name, socket, load)
            with step(f"wait until {namespace}/{name} is whole", expected_seconds=load):
                target.wait_until_whole()
            yield target
    finally:
        if engine is Engine.DOUBLE:
            _remove(kube)  # takes a minute by itself: proxies and engines end gracefully


def _serve_double(cluster: Cluster, kube: Api) -> None:
    stack.load(cluster, "engine-double")
    with step(f"apply the Gateway and {NAMESPACE}/{NAME}"):
        _remove(kube)  # what an earlier run left
        gone = f"/api/v1/namespaces/{NAMESPACE}"
        api.wait_until(lambda: kube.find(gone) is None, timeout_seconds=180, what=f"namespace {NAMESPACE} to be gone")
        stack.namespace(cluster, NAMESPACE)
        gateway = (demo.MANIFESTS / "gateway.yaml").read_text()
        cluster.kubectl("apply", "--server-side", "--namespace", NAMESPACE, "-f", "-", input=gateway)
        parents = {"parentRefs": [{"name": demo.GATEWAY}], "hostnames": [f"{NAME}.test"]}
        resources.apply(cluster, NAMESPACE, resources.double(NAME, gateway=parents))
        demo.gateway_service(kube, NAMESPACE)
        deployments = "/apis/apps/v1/namespaces/envoy-gateway-system/deployments"
        owner = f"gateway.envoyproxy.io/owning-gateway-namespace%3D{NAMESPACE}"
        api.wait_until(
            lambda: any(
                each.get("status", {}).get("readyReplicas")
                for each in kube.items(f"{deployments}?labelSelector={owner}")
            ),
            timeout_seconds=90,
            what="the gateway's proxy to be ready",
        )


def _remove(kube: Api) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}"
    if kube.find(path) is not None:
        kube.delete(path)
