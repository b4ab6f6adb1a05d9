"""What is said of the groups that are not ready: how far each has come, since when, and the first cause.

The pods come first: what they show of a container that ended or can't start, everybody can see, and no launcher is
there to say more. Then the leader's launcher, which knows the stage. While it was not heard yet (this process has just
started, say), what the status says of the same pod already stays: an answer is on its way, and nothing has changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from trireme_operator.api import StalledGroup
from trireme_operator.collector import Heard
from trireme_operator.controller.causes import Cause, Stage
from trireme_operator.controller.groups import Group
from trireme_operator.kube import Obj

HeardFn = Callable[[str], Heard | None]
"""What the launcher in the pod of a UID said last."""

SHOWN_GROUPS: Final = 16
_REASON_LIMIT: Final = 512
_READY: Final = "Ready"
_NO_LAUNCHER: Final = frozenset({Stage.PENDING, Stage.FAILED, Stage.ENDING})
"""Stages in which what the pods show is all there is to know."""
_OF_PODS: Final = frozenset({Stage.PENDING, Stage.STARTING, Stage.ENDING})


def stalled(groups: Sequence[Group], heard: HeardFn, live: Mapping[str, Any]) -> tuple[StalledGroup, ...]:
    """Of a zone's groups those that are not ready, the first few; `live` is what the status says of the zone now."""
    before = {entry.get("group"): entry for entry in live.get("stalled") or []}
    waiting = [group for group in groups if not group.ready][:SHOWN_GROUPS]
    return tuple(_entry(group, group.cause, heard, before.get(group.index)) for group in waiting if group.cause)


def _entry(group: Group, cause: Cause, heard: HeardFn, before: Mapping[str, Any] | None) -> StalledGroup:
    if cause.stage not in _NO_LAUNCHER and group.leader is not None:
        said = [answer for pod in group.pods if (answer := heard(pod["metadata"]["uid"])) is not None]
        leader = next((answer for answer in said if answer.pod_uid == group.leader["metadata"]["uid"]), None)
        if leader is not None and leader.stage != _READY:
            reason = _reason(leader, said, cause)
            return StalledGroup(
                group=group.index,
                stage=leader.stage,
                since=leader.since,
                fetched_bytes=leader.done,
                total_bytes=leader.total,
                reason=reason,
            )
        if before is not None and _is_of(group.leader, before):
            since, reason = before.get("since"), str(before.get("reason") or "")
            done, total = before.get("fetchedBytes"), before.get("totalBytes")
            return StalledGroup(
                group=group.index,
                stage=str(before["stage"]),
                since=since,
                fetched_bytes=done,
                total_bytes=total,
                reason=reason,
            )
    stage = Stage.STARTING if cause.stage is Stage.LOADING else cause.stage
    return StalledGroup(group=group.index, stage=stage, since=_since(group, stage), reason=_cut(cause.message))


def _is_of(leader: Obj, before: Mapping[str, Any]) -> bool:
    """Whether an entry of the status tells what this very pod's launcher said."""
    began = leader["metadata"].get("creationTimestamp") or ""
    return before.get("stage") not in {None, *_OF_PODS} and str(before.get("since") or "") >= began


def _reason(leader: Heard, said: Iterable[Heard], cause: Cause) -> str:
    """The first cause: of this start as a launcher tells it, of an earlier one as it is remembered.

    Else what the leader waits for, else what the pods show.
    """
    if leader.held is not None:
        held = leader.held
        again = f", the next try is at {held.until}" if held.until else ""
        return _cut(f"held after {held.failures} failures{again}: {held.cause}")
    failed = next((answer.failure for answer in (leader, *said) if answer.failure is not None), None)
    if failed is not None:
        rank = f", rank {failed.rank}" if failed.rank is not None else ""
        where = f"{failed.pod}{rank}: " if failed.pod else ""
        return _cut(where + ": ".join(part for part in (failed.reason, failed.message) if part))
    if cause.serious:
        return _cut(cause.message)
    if leader.stalled is not None and not leader.reason:
        return f"requests run and nothing moves since {leader.stalled}"
    return _cut("; ".join(part for part in (leader.reason, *leader.failed_checks) if part) or cause.message)


def _since(group: Group, stage: Stage) -> str | None:
    """When a container ended, or when the leader's pod was made; an end of a pod has only a deadline."""
    if stage is Stage.ENDING or group.leader is None:
        return None
    if stage is Stage.FAILED:
        ended = [time for pod in group.pods for time in _ends(pod)]
        return min(ended, default=None)
    made = group.leader["metadata"].get("creationTimestamp")
    return None if made is None else str(made)


def _ends(pod: Obj) -> Iterable[str]:
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            ended = state.get("terminated") or {}
            if ended.get("finishedAt") and (ended.get("exitCode") or ended.get("reason") == "OOMKilled"):
                yield str(ended["finishedAt"])


def _cut(text: str) -> str:
    return text if len(text) <= _REASON_LIMIT else text[: _REASON_LIMIT - 3] + "..."
