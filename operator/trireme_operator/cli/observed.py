"""What ``trireme status`` shows: the resource, its groups and pods, and what each pod's launcher says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trireme_operator.api.labels import (
    ANNOTATION_REVISION,
    ANNOTATION_ZONE,
    LABEL_CLUSTER,
    LABEL_ROLE,
    LABEL_ROTATION,
    LABEL_ZONE,
    LWS_LABEL_GROUP_INDEX,
    LWS_LABEL_NAME,
    LWS_LABEL_WORKER_INDEX,
)
from trireme_operator.collector import ANSWER_LIMIT_BYTES, AnswerError, Heard, parse
from trireme_operator.rendering.engine import LAUNCHER_PORT

if TYPE_CHECKING:
    from trireme_operator.kube import UserApi

Obj = dict[str, Any]

NO_RIGHT: Final = "no right to pods/proxy"
SILENT: Final = "its launcher does not answer"
_PODS_AT_ONCE: Final = 16
_POD_SECONDS: Final = 3.0


@dataclass(frozen=True)
class Pod:
    """One pod; `heard` is what its launcher says, else `unheard` why nobody knows."""

    raw: Obj
    heard: Heard | None
    unheard: str

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.raw["metadata"]["name"])

    @property
    def worker(self) -> int:
        """Its place in the group; 0 leads."""
        return _index(self.raw, LWS_LABEL_WORKER_INDEX)

    @property
    def role(self) -> str:
        """`leader` or `worker`."""
        return str(_labels(self.raw).get(LABEL_ROLE) or ("worker" if self.worker else "leader"))

    @property
    def node(self) -> str | None:
        """Where it runs; None before that is decided."""
        return (self.raw.get("spec") or {}).get("nodeName")

    @property
    def serves(self) -> bool:
        """Whether its engine answers HTTP."""
        return self.role == "leader" or LABEL_ROTATION in _labels(self.raw)

    @property
    def ready(self) -> bool:
        """Whether the kubelet counts it."""
        found = _status(self.raw).get("conditions") or []
        return any(item.get("type") == "Ready" and item.get("status") == "True" for item in found) and not self.ending

    @property
    def ending(self) -> bool:
        """Whether it is being deleted."""
        return bool(self.raw["metadata"].get("deletionTimestamp"))

    @property
    def restarts(self) -> int:
        """How often its containers were restarted in place."""
        return sum(int(each.get("restartCount") or 0) for each in _containers(self.raw))

    @property
    def state(self) -> str:
        """What the pod itself shows, where no launcher speaks: why a container waits or ended, else its phase."""
        if self.ending:
            return "Terminating"
        for each in _containers(self.raw):
            state = each.get("state") or {}
            waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
            if waiting.get("reason") not in {None, "PodInitializing", "ContainerCreating"}:
                return str(waiting["reason"])
            if ended and (ended.get("exitCode") or ended.get("reason") == "OOMKilled"):
                return f"{ended.get('reason') or 'Error'} (exit code {ended.get('exitCode')})"
        return str(_status(self.raw).get("phase") or "Unknown")


@dataclass(frozen=True)
class Group:
    """One group; `stalled` is what the status says of it while it is not ready."""

    index: int
    pods: tuple[Pod, ...]
    stalled: Mapping[str, Any] | None

    @property
    def ready(self) -> bool:
        """Whether all its pods that serve HTTP are ready, and none is going."""
        serving = [pod for pod in self.pods if pod.serves]
        going = any(pod.ending for pod in self.pods)
        return bool(serving) and all(pod.ready for pod in serving) and not going


@dataclass(frozen=True)
class Zone:
    """One zone: its part of the status (empty when the operator has said nothing yet), its revision and groups."""

    name: str
    status: Mapping[str, Any]
    revision: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Observed:
    """A resource and all that belongs to it."""

    raw: Obj
    zones: tuple[Zone, ...]

    @property
    def may_not_ask(self) -> bool:
        """Whether the user may not ask the launchers."""
        return any(pod.unheard == NO_RIGHT for zone in self.zones for group in zone.groups for pod in group.pods)


async def observe(api: UserApi, namespace: str, name: str) -> Observed:
    """Read it all. Raises the client's errors, NotFound among them; what a launcher says may be missing."""
    from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, POD  # noqa: PLC0415 - see `cluster.ask`

    raw = await api.get(INFERENCE_CLUSTER, namespace, name)
    label = f"{LABEL_CLUSTER}={name}"
    uid = raw["metadata"]["uid"]
    sets = [
        each
        for each in await api.list(LEADER_WORKER_SET, namespace, labels=label)
        if any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences") or [])
    ]
    names = {each["metadata"]["name"] for each in sets}
    pods = [each for each in await api.list(POD, namespace, labels=label) if _labels(each).get(LWS_LABEL_NAME) in names]
    return Observed(raw, tuple(_zones(raw, sets, await _hear(api, pods))))


async def _hear(api: UserApi, pods: Iterable[Obj]) -> list[Pod]:
    gate = asyncio.Semaphore(_PODS_AT_ONCE)

    async def one(pod: Obj) -> Pod:
        async with gate:
            return await _ask(api, pod)

    return list(await asyncio.gather(*(one(pod) for pod in pods)))


async def _ask(api: UserApi, pod: Obj) -> Pod:
    """A pod with what its launcher says; one that runs nothing yet is not asked."""
    from trireme_operator.kube import Forbidden, KubeError  # noqa: PLC0415 - see `cluster.ask`

    metadata = pod["metadata"]
    if _status(pod).get("phase") != "Running":
        return Pod(pod, None, "")
    try:
        body = await api.ask_pod(
            metadata["namespace"],
            metadata["name"],
            LAUNCHER_PORT,
            "statusz",
            timeout_seconds=_POD_SECONDS,
            limit_bytes=ANSWER_LIMIT_BYTES,
        )
        return Pod(pod, parse(body, pod_uid=metadata["uid"]), "")
    except Forbidden:
        return Pod(pod, None, NO_RIGHT)
    except KubeError:
        return Pod(pod, None, SILENT)
    except AnswerError as error:
        return Pod(pod, None, str(error))


def _zones(raw: Obj, sets: Iterable[Obj], pods: list[Pod]) -> Iterable[Zone]:
    """Those of the status in its order, then those that only groups are left of."""
    told = {zone.get("name") or "": zone for zone in _status(raw).get("zones") or []}
    found = {_zone_of(each): each for each in sets}
    for name in dict.fromkeys([*told, *sorted(found)]):
        status, live = told.get(name) or {}, found.get(name)
        if live is None:
            yield Zone(name, status, "", ())
            continue
        mine = [pod for pod in pods if _labels(pod.raw).get(LWS_LABEL_NAME) == live["metadata"]["name"]]
        revision = str((live["metadata"].get("annotations") or {}).get(ANNOTATION_REVISION) or "")
        yield Zone(name, status, revision, tuple(_groups(status, mine)))


def _groups(status: Mapping[str, Any], pods: list[Pod]) -> Iterable[Group]:
    stalled = {entry.get("group"): entry for entry in status.get("stalled") or []}
    members: dict[int, list[Pod]] = {index: [] for index in range(int(status.get("groups") or 0))}
    for pod in pods:
        members.setdefault(_index(pod.raw, LWS_LABEL_GROUP_INDEX), []).append(pod)
    for index in sorted(members):
        ordered = tuple(sorted(members[index], key=lambda pod: pod.worker))
        yield Group(index, ordered, stalled.get(index))


def _zone_of(live: Obj) -> str:
    annotated = (live["metadata"].get("annotations") or {}).get(ANNOTATION_ZONE)
    return str(annotated or _labels(live).get(LABEL_ZONE) or "")


def _labels(obj: Obj) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _status(obj: Obj) -> Obj:
    return obj.get("status") or {}


def _containers(pod: Obj) -> list[Obj]:
    status = _status(pod)
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _index(pod: Obj, label: str) -> int:
    text = _labels(pod).get(label, "")
    return int(text) if text.isdecimal() else -1
