"""What one reconcile knows: the resource, its plan, and the children and pods as they were just read."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import LABEL_CLUSTER, MANAGED_BY
from trireme_operator.controller.model_check import ModelCheck
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    HTTP_ROUTE,
    LEADER_WORKER_SET,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    ApiError,
    ApiMissing,
    Kind,
    KubeApi,
    Obj,
)

CHILD_KINDS = (LEADER_WORKER_SET, SERVICE, SERVICE_ACCOUNT, CONTROLLER_REVISION, HTTP_ROUTE)


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


@dataclass
class Children:
    """The live children by kind and name, kept up to date with what this reconcile writes."""

    objects: dict[Kind, dict[str, Obj]]
    missing: frozenset[Kind]
    pods: tuple[Obj, ...]

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


@dataclass
class Scope:
    """One reconcile of one resource."""

    api: KubeApi
    cluster: InferenceCluster
    children: Children
    model: ModelCheck = field(default_factory=ModelCheck)
    errors: list[ChildError] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """The resource's namespace, which is every child's."""
        return self.cluster.metadata.namespace

    @property
    def uid(self) -> str:
        """The resource's UID: what makes a child ours."""
        return self.cluster.metadata.uid


def is_owned(obj: Obj, uid: str) -> bool:
    """Whether the object's controller is the resource of this UID."""
    owners = obj["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


async def observe(api: KubeApi, cluster: InferenceCluster) -> Children:
    """Read the children and pods, all kinds at once. A kind that is not served is `missing`, not an error."""
    namespace, name = cluster.metadata.namespace, cluster.metadata.name
    managed = f"{LABEL_CLUSTER}={name},{MANAGED_BY[0]}={MANAGED_BY[1]}"

    async def read(kind: Kind, labels: str) -> list[Obj] | None:
        try:
            return await api.list(kind, namespace, labels=labels)
        except ApiMissing:
            return None

    async with asyncio.TaskGroup() as group:
        lists = {kind: group.create_task(read(kind, managed)) for kind in CHILD_KINDS}
        pods = group.create_task(read(POD, f"{LABEL_CLUSTER}={name}"))
    found = {kind: task.result() for kind, task in lists.items()}
    return Children(
        objects={kind: {obj["metadata"]["name"]: obj for obj in objs or []} for kind, objs in found.items()},
        missing=frozenset(kind for kind, objs in found.items() if objs is None),
        pods=tuple(pods.result() or ()),
    )
