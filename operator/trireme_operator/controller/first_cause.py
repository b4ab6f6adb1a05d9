"""Why groups ended, as their pods tell: which pod was the first, and what happened to it.

Each pod says one of three things: how a container of it ended (OOMKilled, exit code), what its launcher left as the
termination message, or, also there, what that launcher knows of another pod of the group. A pod that ended because it
was deleted says nothing, and one that ended because another one did says less than that one.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trireme_operator.api.labels import (
    LWS_LABEL_GROUP_INDEX,
    LWS_LABEL_NAME,
    LWS_LABEL_REVISION,
    LWS_LABEL_WORKER_INDEX,
)
from trireme_operator.api.pod_overlay import ENGINE
from trireme_operator.controller.times import seconds
from trireme_operator.kube import Obj
from trireme_operator.planning.history import OOM_KILLED, Failure, is_consequence, weight

_STOPPED = frozenset({137, 143})
"""Exit codes of a container that was stopped by SIGKILL or SIGTERM, as kubelets do it to deleted pods."""

EVICTED = "Evicted"


def failures_of(set_name: str, pods: Iterable[Obj]) -> list[Failure]:
    """The first cause of each end of each group of the LeaderWorkerSet, oldest first.

    `pods` are those that exist and, as far as they are remembered, those that do not any more, in their last state.
    """
    found = []
    for group, members in _groups(set_name, pods).items():
        for epoch, mates in _epochs(members).items():
            candidates = [each for pod in mates for each in _told(pod, group, epoch or _uid(pod))]
            deleted = min((when for pod in mates if (when := deletion(pod)) is not None), default=None)
            causes = [each for each in candidates if not _follows_deletion(each, deleted)]
            if causes:
                first = min(causes, key=weight)
                # The clock of a node may be behind; that of the API server, which made the leader, is one for all.
                made = max((_created(pod) for pod in mates if _uid(pod) == epoch), default=0)
                found.append(replace(first, time=max(first.time, made)))
    return sorted(found, key=lambda failure: failure.time)


def tells(pod: Obj) -> bool:
    """Whether the pod is worth remembering after it is gone: it failed, or it is a leader, which others refer to."""
    return _index(pod, LWS_LABEL_WORKER_INDEX) == 0 or any(_told(pod, 0, ""))


def finished_with(pods: Iterable[Obj], gone: Iterable[Obj]) -> set[str]:
    """The UIDs of those of `gone` of whose group's end nothing more can come: no pod of that time exists any more."""
    present, past = list(pods), list(gone)
    waiting = set()
    by_group: dict[tuple[str, int], list[Obj]] = defaultdict(list)
    for pod in (*present, *past):
        by_group[_label(pod, LWS_LABEL_NAME), _index(pod, LWS_LABEL_GROUP_INDEX)].append(pod)
    alive = {_uid(pod) for pod in present}
    for members in by_group.values():
        for mates in _epochs(members).values():
            if any(_uid(pod) in alive for pod in mates):
                waiting |= {_uid(pod) for pod in mates}
    return {_uid(pod) for pod in past} - waiting


def deletion(pod: Obj) -> int | None:
    """When somebody asked for the end of the pod; None when nobody did."""
    metadata = pod["metadata"]
    due = seconds(metadata.get("deletionTimestamp"))
    return None if due is None else due - int(metadata.get("deletionGracePeriodSeconds") or 0)


def _groups(set_name: str, pods: Iterable[Obj]) -> dict[int, list[Obj]]:
    found: dict[int, list[Obj]] = defaultdict(list)
    for pod in pods:
        group = _index(pod, LWS_LABEL_GROUP_INDEX)
        if _label(pod, LWS_LABEL_NAME) == set_name and group >= 0:
            found[group].append(pod)
    return found


def _epochs(pods: Sequence[Obj]) -> dict[str, list[Obj]]:
    """The pods of one group by the leader that they were made after: a worker is never older than its leader."""
    leaders = [pod for pod in pods if _index(pod, LWS_LABEL_WORKER_INDEX) == 0]
    leaders.sort(key=_created, reverse=True)
    found: dict[str, list[Obj]] = defaultdict(list)
    for pod in pods:
        if pod in leaders:
            epoch = _uid(pod)
        else:
            epoch = next((_uid(leader) for leader in leaders if _created(leader) <= _created(pod)), "")
        found[epoch].append(pod)
    return found


def _follows_deletion(failure: Failure, deleted: int | None) -> bool:
    """Whether the group was being taken away on purpose when a pod noticed that another one was gone."""
    return deleted is not None and is_consequence(failure.reason) and failure.time > deleted


def _told(pod: Obj, group: int, epoch: str) -> Iterator[Failure]:
    status = pod.get("status") or {}
    if status.get("phase") == "Failed" and status.get("reason") == EVICTED:
        yield _failure(pod, group, epoch, EVICTED, _evicted_at(status), message=str(status.get("message") or ""))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        for state in (container.get("lastState") or {}, container.get("state") or {}):
            ended = state.get("terminated")
            if ended and _is_failure(pod, ended):
                yield _ended(pod, group, epoch, str(container.get("name")), ended)


def _is_failure(pod: Obj, ended: Mapping[str, Any]) -> bool:
    """Not a container that ended well, and not one that was stopped because its pod was to go."""
    if ended.get("reason") == OOM_KILLED:
        return True
    if not ended.get("exitCode"):
        return False
    deleted, finished = deletion(pod), seconds(ended.get("finishedAt"))
    late = deleted is not None and finished is not None and finished >= deleted
    return not (late and ended.get("exitCode") in _STOPPED and not _message(ended))


def _ended(pod: Obj, group: int, epoch: str, container: str, ended: Mapping[str, Any]) -> Failure:
    told = _message(ended)
    killed = ended.get("reason") == OOM_KILLED
    log = told.get("log")
    code = told.get("exitCode") if told and not killed else ended.get("exitCode")
    other = told.get("pod") if told.get("pod") not in (None, "", pod["metadata"]["name"]) else None
    at = seconds(told.get("at")) if told.get("at") else None
    return _failure(
        pod,
        group,
        epoch,
        OOM_KILLED if killed else str(told.get("reason") or ended.get("reason") or "Error"),
        at or seconds(ended.get("finishedAt")) or 0,
        container="" if container == ENGINE else container,
        exit_code=_number(code),
        signal="" if killed else str(told.get("signal") or ""),
        rank=_number(told.get("rank")),
        message=str(told.get("message") or ("" if told else ended.get("message") or "")),
        log=tuple(str(line) for line in log) if isinstance(log, list) else (),
        reported=None if other is None or killed else str(other),
    )


def _failure(
    pod: Obj, group: int, epoch: str, reason: str, time: int, *, reported: str | None = None, **rest: Any
) -> Failure:
    """Of the pod itself, or of the one that its launcher reported: `<leader>` or `<leader>-<index>`."""
    name, worker = pod["metadata"]["name"], _index(pod, LWS_LABEL_WORKER_INDEX)
    if reported is not None:
        leader = name.removesuffix(f"-{worker}") if worker > 0 else name
        index = reported.removeprefix(f"{leader}-")
        name, worker = reported, int(index) if index.isdigit() and reported != leader else 0
    revision = _label(pod, LWS_LABEL_REVISION)
    told = reported is not None
    return Failure(group, epoch, name, worker, reason, time, revision=revision, report=told, **rest)


def _message(ended: Mapping[str, Any]) -> Mapping[str, Any]:
    """The launcher's termination message (docs/contract.md); empty for what another program left there."""
    try:
        told = json.loads(ended.get("message") or "")
    except ValueError:
        return {}
    return told if isinstance(told, dict) and told.get("reason") else {}


def _evicted_at(status: Mapping[str, Any]) -> int:
    times = [
        seconds(item.get("lastTransitionTime"))
        for item in status.get("conditions") or []
        if item.get("type") == "DisruptionTarget"
    ]
    return next((time for time in times if time is not None), seconds(status.get("startTime")) or 0)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _created(pod: Obj) -> int:
    return seconds(pod["metadata"].get("creationTimestamp")) or 0


def _uid(pod: Obj) -> str:
    return str(pod["metadata"].get("uid", ""))


def _label(pod: Obj, name: str) -> str:
    return str((pod["metadata"].get("labels") or {}).get(name, ""))


def _index(pod: Obj, name: str) -> int:
    """A number in a label; -1 where there is none."""
    text = _label(pod, name)
    return int(text) if text.isdigit() else -1
