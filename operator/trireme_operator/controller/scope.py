"""What one reconcile knows: the resource, and its children and pods as they stood when it began."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import DRAIN_PREFIX
from trireme_operator.controller.model_check import ModelCheck
from trireme_operator.kube import (
    BACKEND_TRAFFIC_POLICY,
    CONTROLLER_REVISION,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    INFERENCE_POOL,
    LEADER_WORKER_SET,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    POD_MONITOR,
    SCALED_OBJECT,
    SERVICE,
    SERVICE_ACCOUNT,
    ApiError,
    ApiMissing,
    Kind,
    KubeApi,
    KubeError,
    NotFound,
    Obj,
)

CHILD_KINDS = (
    LEADER_WORKER_SET,
    SERVICE,
    SERVICE_ACCOUNT,
    CONTROLLER_REVISION,
    POD_DISRUPTION_BUDGET,
    NETWORK_POLICY,
    POD_MONITOR,
    HORIZONTAL_POD_AUTOSCALER,
    SCALED_OBJECT,
    INFERENCE_POOL,
    BACKEND_TRAFFIC_POLICY,
    HTTP_ROUTE,
)

OPTIONAL_KINDS = frozenset({BACKEND_TRAFFIC_POLICY, HTTP_ROUTE, INFERENCE_POOL, POD_MONITOR, SCALED_OBJECT})
"""Kinds of other projects that groups run without."""


@dataclass(frozen=True)
class ChildError:
    """What went wrong with one child; the others go on."""

    kind: Kind
    name: str
    error: Exception

    def __str__(self) -> str:
        said = self.error.message if isinstance(self.error, ApiError) else str(self.error)
        if "failed calling webhook" in said:
            said += f"; check that the controller that serves this webhook runs (of {self.kind}, say)"
        return f"{self.kind.kind} {self.name}: {said}"


def sentence(errors: Iterable[ChildError]) -> str:
    """What is told of them, sorted: the order in which calls ended does not change the text."""
    return "; ".join(sorted(str(error) for error in errors if not isinstance(error.error, ApiMissing)))


@dataclass
class Children:
    """The live children by kind and name, kept up to date with what this reconcile writes.

    A kind that is not served is `missing`; one that may not be read is `refused`, and nothing is known of it.
    """

    objects: dict[Kind, dict[str, Obj]]
    missing: frozenset[Kind]
    pods: tuple[Obj, ...]
    refused: Mapping[Kind, KubeError] = field(default_factory=dict)
    gone: tuple[Obj, ...] = ()
    """Pods that do not exist any more, in their last state: what a failure is told from."""

    def get(self, kind: Kind, name: str) -> Obj | None:
        """The child as it was last seen, or None."""
        return self.objects.get(kind, {}).get(name)

    def of(self, kind: Kind) -> Mapping[str, Obj]:
        """Every child of a kind, by name."""
        return self.objects.get(kind, {})

    def put(self, kind: Kind, obj: Obj) -> None:
        """Remember what the API server answered."""
        self.objects.setdefault(kind, {})[obj["metadata"]["name"]] = obj

    def drop(self, kind: Kind, name: str) -> None:
        """Forget a child that was deleted."""
        self.objects.get(kind, {}).pop(name, None)


class OutdatedError(Exception):
    """The resource is no longer what this reconcile planned from; the next one begins with what it is now.

    No `KubeError` on purpose: whoever deals with failed calls one by one must not go on to the next one.
    """


@dataclass
class Scope:
    """One reconcile of one resource.

    `settled` says that an earlier reconcile has brought it about: what is written now changes what somebody uses.
    `may_render` is False for a spec that only an earlier version accepted: then stored templates are all there is.
    """

    api: KubeApi
    cluster: InferenceCluster
    children: Children
    model: ModelCheck = field(default_factory=ModelCheck)
    settled: bool = False
    may_render: bool = True
    rival: str | None = None
    """The resource whose route is older and takes the same requests."""
    errors: list[ChildError] = field(default_factory=list)
    before: Mapping[Kind, frozenset[str]] = field(init=False)
    """The names of the autoscalers, of both kinds, that there were when this reconcile began."""
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _confirmed: bool = False

    def __post_init__(self) -> None:
        kinds = (HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT)
        self.before = {kind: frozenset(self.children.of(kind)) for kind in kinds}

    async def confirm(self) -> None:
        """Before a write to a child: the resource as it stands now is asked for, once a reconcile, if it is settled.

        A watch may be behind without knowing it, and what a stale wish asks for may take groups away.
        Raises OutdatedError when the resource is another one by now; whatever the read raises, too.
        """
        async with self._reading:
            if self.settled and not self._confirmed:
                if not await self._still_wanted():
                    raise OutdatedError("the resource has changed since this reconcile began")
                self._confirmed = True

    async def _still_wanted(self) -> bool:
        planned = self.cluster.metadata
        try:
            live = (await self.api.get(INFERENCE_CLUSTER, planned.namespace, planned.name))["metadata"]
        except NotFound:
            return False
        same = (live["uid"], live.get("generation")) == (planned.uid, planned.generation)
        # A drain is an annotation, which counts no generation, and it ends groups.
        same = same and _drains(live.get("annotations") or {}) == _drains(planned.annotations)
        return same and not live.get("deletionTimestamp")

    @property
    def namespace(self) -> str:
        """The resource's namespace, which is every child's."""
        return self.cluster.metadata.namespace

    @property
    def uid(self) -> str:
        """The resource's UID: what makes a child ours."""
        return self.cluster.metadata.uid


def _drains(annotations: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in annotations.items() if key.startswith(DRAIN_PREFIX)}


def is_owned(obj: Obj, uid: str) -> bool:
    """Whether the object's controller is the resource of this UID."""
    owners = obj["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)
