"""A zone whose number of groups is changed by a spec, an operator and the hand of an autoscaler, and what was seen."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from tests.integration.server import LAUNCHER_IMAGE, Hands, until
from tests.unit.controller_samples import resource
from tests.unit.stores import filled
from trireme_operator.controller.queue import Key
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.kube import (
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    Kind,
    KubernetesApi,
    NotFound,
    Obj,
)
from trireme_operator.rendering import Settings

NAME, ZONE = "llm-zone-b", "zone-b"
HPA_MANAGER = "kube-controller-manager"
SCALING: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 6, "metrics": {"cpu": 70}}
REQUESTS: dict[str, Any] = {"requests": {"cpu": "1"}}


class Killed(BaseException):
    """The operator's end, at once and in the middle of its work."""


class Mortal(KubernetesApi):
    """The adapter, which ends its operator right after a write; `before` runs before each apply."""

    writes = 0
    dies_after: int | None = None
    before: Callable[[Kind, Obj], Awaitable[None]] | None = None

    async def apply(self, kind: Kind, obj: Obj, **options: Any) -> Obj:
        if self.before is not None:
            await self.before(kind, obj)
        return await super().apply(kind, obj, **options)

    async def _call(self, method: str, *args: Any, **kwargs: Any) -> Obj:
        if method == "GET":
            return await super()._call(method, *args, **kwargs)
        if self.dies_after is not None and self.writes >= self.dies_after:
            raise Killed
        self.writes += 1
        return await super()._call(method, *args, **kwargs)


class Tape:
    """The number of groups that the zone's LeaderWorkerSet asked for, after each event; None when it was deleted."""

    def __init__(self, hands: Hands, namespace: str) -> None:
        self._hands = hands
        self._namespace = namespace
        self._numbers: list[int | None] = []
        self._version = 0

    def see(self, _: Kind, event: Obj) -> None:
        meta = event["object"]["metadata"]
        if (meta.get("namespace"), meta.get("name")) != (self._namespace, NAME):
            return
        number = None if event["type"] == "DELETED" else event["object"]["spec"]["replicas"]
        if self._numbers[-1:] != [number]:
            self._numbers.append(number)
        self._version = int(meta["resourceVersion"])

    async def cut(self) -> list[int | None]:
        """What was seen since the last cut, the number before it first; ends when all that was written was seen."""

        async def caught_up() -> bool:
            try:
                live = await self._hands.api.get(LEADER_WORKER_SET, self._namespace, NAME)
            except NotFound:
                return self._numbers[-1:] in ([], [None])
            return self._version >= int(live["metadata"]["resourceVersion"])

        await until(caught_up)
        seen, self._numbers = self._numbers, self._numbers[-1:]
        return seen


class Stage:
    """A resource, an operator that is a new one each time, an autoscaler's hand, and a tape of what happened."""

    def __init__(self, hands: Hands, namespace: str, tape: Tape) -> None:
        self.hands = hands
        self.namespace = namespace
        self.tape = tape

    async def create(self, *, replicas: int | None = None, autoscaling: Obj | None = SCALING, **spec: Any) -> None:
        zone = {"name": ZONE, "weight": 40} | ({} if replicas is None else {"replicas": replicas})
        zones = [{"name": "zone-a", "weight": 60, "replicas": 1}, zone]
        of: dict[str, Any] = {"zones": zones, "gateway": None, "resources": REQUESTS}
        obj = resource(**{**of, "autoscaling": autoscaling, **spec})
        obj["metadata"] = {"name": "llm", "namespace": self.namespace}
        await self.hands.create(INFERENCE_CLUSTER, obj)
        await self.settle()

    async def edit(self, *, zone: Obj | None = None, **spec: Any) -> None:
        """A change of the spec; `zone` changes fields of the zone."""
        patch = dict(spec)
        if zone is not None:
            live = await self.hands.api.get(INFERENCE_CLUSTER, self.namespace, "llm")
            zones = live["spec"]["zones"]
            changed = {key: value for key, value in {**zones[1], **zone}.items() if value is not None}
            patch["zones"] = [zones[0], changed]
        await self.hands.merge(INFERENCE_CLUSTER, self.namespace, "llm", {"spec": patch})

    async def operator(self) -> tuple[Mortal, Callable[[], Awaitable[Any]]]:
        """A new operator, which has just listed everything, and its reconcile."""
        api = Mortal(self.hands.api._client)
        store = await filled(api, namespace=self.namespace)
        settings = Settings(launcher_image=LAUNCHER_IMAGE)
        reconciler = Reconciler(RecordingApi(api, store), store, settings, clock=lambda: datetime.now(UTC))
        return api, lambda: reconciler.reconcile(Key(self.namespace, "llm"))

    async def reconcile(self) -> int:
        """One reconcile of a new operator; returns how often it wrote."""
        api, reconcile = await self.operator()
        await reconcile()
        return api.writes

    async def settle(self) -> None:
        """Reconcile until nothing is left to do."""
        for _ in range(10):
            if await self.reconcile() == 0:
                return
        raise AssertionError("it never comes to rest")

    async def live(self) -> Obj:
        return await self.hands.api.get(LEADER_WORKER_SET, self.namespace, NAME)

    async def number(self) -> int:
        return int((await self.live())["spec"]["replicas"])

    async def autoscaler(self) -> Obj | None:
        try:
            return await self.hands.api.get(HORIZONTAL_POD_AUTOSCALER, self.namespace, NAME)
        except NotFound:
            return None

    async def autoscaler_wants(self, number: int) -> None:
        """One round of the autoscaler that computed this number."""
        hpa = await self.autoscaler()
        assert hpa is not None, "nobody is there to want it"
        current = await self.number()
        wanted = min(max(number, hpa["spec"]["minReplicas"]), hpa["spec"]["maxReplicas"]) if current else 0
        if current:
            await self.scale(wanted)
        said = {"type": "ScalingActive", "status": str(bool(current)), "reason": "x", "message": ""}
        status = {"currentReplicas": current, "desiredReplicas": wanted, "conditions": [said]}
        await self.hands.merge(HORIZONTAL_POD_AUTOSCALER, self.namespace, NAME, {"status": status}, "status")

    async def scale(self, number: int, manager: str = HPA_MANAGER) -> None:
        """A write of the scale subresource, as by the autoscaler or by `kubectl scale`."""
        path = LEADER_WORKER_SET.path(self.namespace, NAME, "scale")
        body = await self.hands.api._call("GET", LEADER_WORKER_SET, path, is_object=True)
        body["spec"]["replicas"] = number
        query = {"fieldManager": manager}
        await self.hands.api._call("PUT", LEADER_WORKER_SET, path, query=query, body=body, is_object=True)

    async def owners(self) -> set[str]:
        """The field managers that own the number of groups."""
        managed = (await self.live())["metadata"]["managedFields"]
        return {entry["manager"] for entry in managed if "f:replicas" in (entry["fieldsV1"].get("f:spec") or {})}

    async def zone(self) -> Obj:
        status = (await self.hands.api.get(INFERENCE_CLUSTER, self.namespace, "llm"))["status"]
        found: Obj = next(zone for zone in status["zones"] if zone["name"] == ZONE)
        return found
