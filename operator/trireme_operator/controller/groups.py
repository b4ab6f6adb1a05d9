"""The groups of a LeaderWorkerSet, as their pods show them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from trireme_operator.api import Reason
from trireme_operator.api.labels import (
    LABEL_ROTATION,
    LWS_LABEL_GROUP_INDEX,
    LWS_LABEL_NAME,
    LWS_LABEL_REVISION,
    LWS_LABEL_WORKER_INDEX,
)
from trireme_operator.controller.causes import Cause, Stage, cause_of, is_ready, worst
from trireme_operator.controller.lost import lost, lost_cause
from trireme_operator.kube import Obj

ANNOTATION_SIZE = "leaderworkerset.sigs.k8s.io/size"


@dataclass(frozen=True)
class Group:
    """One group: its index in the set, its pods with the leader first, and the cause when it is not ready."""

    index: int
    cause: Cause | None
    revision: str = ""
    """LeaderWorkerSet's hash of the template that its leader was made from; empty without a leader."""
    pods: tuple[Obj, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether every pod that serves HTTP is Ready, and every pod of the group is there."""
        return self.cause is None

    @property
    def leader(self) -> Obj | None:
        """The leader's pod, when it exists."""
        return next((pod for pod in self.pods if _worker_index(pod) == 0), None)


def groups_of(set_name: str, pods: Iterable[Obj], *, replicas: int, size: int, now: int) -> tuple[Group, ...]:
    """The groups 0..`replicas`-1 of the set, in order, one for each that should be there.

    `size` is the number of pods of a group; during a rolling change of it, the leader's own annotation counts.
    `now` is in seconds since the epoch.
    """
    members: dict[int, list[Obj]] = defaultdict(list)
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        index = labels.get(LWS_LABEL_GROUP_INDEX, "")
        if labels.get(LWS_LABEL_NAME) == set_name and index.isdigit():
            members[int(index)].append(pod)
    return tuple(_group(set_name, index, members.get(index, []), size, now) for index in range(replicas))


def _group(set_name: str, index: int, pods: list[Obj], size: int, now: int) -> Group:
    leader = next((pod for pod in pods if _worker_index(pod) == 0), None)
    labels = (leader or {}).get("metadata", {}).get("labels") or {}
    gone = next((pod for pod in sorted(pods, key=_worker_index) if lost(pod, now=now)), None)
    cause = lost_cause(gone) if gone is not None else _cause(set_name, leader, pods, size)
    members = tuple(sorted(pods, key=_worker_index))
    return Group(index, cause, labels.get(LWS_LABEL_REVISION, ""), members)


def _cause(set_name: str, leader: Obj | None, pods: list[Obj], size: int) -> Cause | None:
    if leader is None:
        text = (
            "the leader's pod does not exist yet; if that stays so, check that the controller of LeaderWorkerSet runs, "
            f"and the events of StatefulSet {set_name} (kubectl describe)"
        )
        return Cause(Stage.STARTING, Reason.STARTING, text)
    ending = sorted(pod["metadata"]["name"] for pod in pods if pod["metadata"].get("deletionTimestamp"))
    if ending:
        return Cause(Stage.ENDING, Reason.STARTING, f"pod {ending[0]} is ending; the group is made again after it")
    expected = _expected_size(leader, size)
    causes = [cause for pod in sorted(pods, key=_worker_index) if (cause := cause_of(pod)) is not None]
    serving = [pod for pod in pods if pod is leader or LABEL_ROTATION in (pod["metadata"].get("labels") or {})]
    if all(is_ready(pod) for pod in serving) and len(pods) >= expected:
        return None
    if len(pods) < expected:
        text = f"{len(pods)} of {expected} pods of the group exist"
        causes.append(Cause(Stage.STARTING, Reason.STARTING, text))
    return worst(causes)


def _worker_index(pod: Obj) -> int:
    index = (pod["metadata"].get("labels") or {}).get(LWS_LABEL_WORKER_INDEX, "")
    return int(index) if index.isdigit() else -1


def _expected_size(leader: Obj, size: int) -> int:
    annotated = (leader["metadata"].get("annotations") or {}).get(ANNOTATION_SIZE, "")
    return int(annotated) if annotated.isdigit() else size
