"""A resource on an in-memory API, and the reconciler that brings it about."""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.controller_samples import NAMESPACE, pod, resource
from tests.unit.fake_kube import FakeKube
from tests.unit.stores import filled
from trireme_operator.collector import Heard, Listening
from trireme_operator.controller.claims import Claims
from trireme_operator.controller.maintenance import NodeNotices
from trireme_operator.controller.queue import Key
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.controller.traffic import Ears
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    SERVICE,
    SERVICE_ACCOUNT,
    Obj,
)
from trireme_operator.planning import Proof, Queue
from trireme_operator.rendering import Settings

KEY = Key(NAMESPACE, "llm")
CHILDREN = (
    LEADER_WORKER_SET,
    SERVICE,
    SERVICE_ACCOUNT,
    CONTROLLER_REVISION,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    HTTP_ROUTE,
)

_STEP_SECONDS = 6
"""Of a test's time, at least, between two reconciles."""


class World:
    """An API with one resource, and a reconciler whose clock a test can move."""

    def __init__(self, **spec: Any) -> None:
        self.kube = FakeKube()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.heard: dict[str, Heard] = {}
        self.nodes: NodeNotices | None = None
        self.before: Callable[[Claims], object] | None = None
        """What the process has noted of other resources."""
        self.settings = Settings(launcher_image="trireme.dev/runtime:1")
        self.kube.add(INFERENCE_CLUSTER, resource(**spec))

    async def reconcile(self) -> float | None:
        """As by a process that has just started: all that it knows was listed."""
        store = await filled(self.kube)
        api = RecordingApi(self.kube, store)
        reconciler = Reconciler(
            api,
            store,
            self.settings,
            clock=lambda: self.now,
            heard=self.heard.get,
            ears=Ears(self.listen, self.prove, self.queue),
            nodes=self.nodes,
        )
        if self.before is not None:
            self.before(reconciler._claims)
        return await reconciler.reconcile(KEY)

    def listen(self, _: Iterable[str]) -> Listening | None:
        """What is heard of a zone's leaders: nothing, unless a test says otherwise."""
        return None

    def prove(self, _uid: str, _question: str) -> Proof:
        """Whether a completion passed: nobody can be asked, unless a test says otherwise."""
        return Proof.UNAVAILABLE

    def queue(self, _uid: str, _seconds: float) -> Queue | None:
        """The requests in an engine: nobody knows, unless a test says otherwise."""
        return None

    async def pass_by(self, seconds: int) -> None:
        """So much time: a reconcile comes a step after the gateway has followed the last one, else when that asked."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            again = await self.reconcile()
            wait = _STEP_SECONDS if self.accept_route() or again is None else max(_STEP_SECONDS, math.ceil(again))
            self.now = min(end, self.now + timedelta(seconds=wait))

    async def writes(self) -> list[tuple[str, str, str]]:
        """What one reconcile writes."""
        self.kube.writes.clear()
        await self.reconcile()
        return list(self.kube.writes)

    @property
    def spec(self) -> Any:
        return self.kube.one(INFERENCE_CLUSTER, "llm")["spec"]

    @property
    def status(self) -> Any:
        return self.kube.one(INFERENCE_CLUSTER, "llm")["status"]

    def condition(self, kind: str) -> dict[str, Any]:
        found = [item for item in self.status["conditions"] if item["type"] == kind]
        assert len(found) == 1, self.status["conditions"]
        return dict(found[0])

    def weights(self) -> dict[str, int]:
        rules = self.kube.one(HTTP_ROUTE, self.kube.names(HTTP_ROUTE).copy().pop())["spec"]["rules"]
        return {ref["name"]: ref["weight"] for ref in rules[0]["backendRefs"]}

    def group(self, zone: str, index: int, **leader: Any) -> None:
        self.kube.add(POD, pod(f"llm-{zone}", index, 0, **leader))
        self.kube.add(POD, pod(f"llm-{zone}", index, 1))

    def hear(self, name: str, stage: str, **said: Any) -> None:
        """What the launcher in a pod says from now on."""
        uid = self.kube.one(POD, name)["metadata"]["uid"]
        self.heard[uid] = Heard(uid, stage, **{"since": "2026-01-01T00:05:00Z", **said})

    def everything_ready(self) -> None:
        for zone, index in (("zone-a", 0), ("zone-b", 0), ("zone-b", 1)):
            self.group(zone, index)
        self.kube.add(GATEWAY, GATEWAY_OBJECT)
        self.observe_groups()

    def observe_groups(self) -> None:
        """LeaderWorkerSet's controller has looked at every set."""
        for name in self.kube.names(LEADER_WORKER_SET):
            live = self.kube.one(LEADER_WORKER_SET, name)
            live.setdefault("status", {})["observedGeneration"] = live["metadata"]["generation"]

    def accept_route(self) -> bool:
        """The gateway has looked at the route; returns whether that changed it."""
        route = self.kube.one(HTTP_ROUTE, self.kube.names(HTTP_ROUTE).copy().pop())
        seen = {"status": "True", "observedGeneration": route["metadata"]["generation"]}
        told = [{"type": kind, **seen} for kind in ("Accepted", "ResolvedRefs")]
        parent = {"parentRef": {"name": "edge", "namespace": "infra"}, "conditions": told}
        before, route["status"] = route.get("status"), {"parents": [parent]}
        return bool(before != route["status"])


GATEWAY_OBJECT: Obj = {
    "metadata": {"name": "edge", "namespace": "infra"},
    "spec": {"listeners": [{"name": "web", "protocol": "HTTP", "port": 80}]},
    "status": {"conditions": [{"type": "Programmed", "status": "True"}]},
}
