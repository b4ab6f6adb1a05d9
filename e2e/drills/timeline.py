"""What a drill's record tells: when the group left rotation, when it was whole again, why, and what else moved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from e2e.api import Obj
from e2e.drills.record import Seen, states

ZONE = "trireme.dev/zone"
ROLE = "trireme.dev/role"
INDEX = "leaderworkerset.sigs.k8s.io/group-index"

Group = tuple[str, int]
"""A zone and the index of a group in it."""


@dataclass(frozen=True)
class Pods:
    """Pods as they were at one time: how often containers of each had restarted, by UID."""

    restarts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pods: Iterable[Obj]) -> Pods:
        return cls({str(pod["metadata"]["uid"]): restarts(pod) for pod in pods})

    @property
    def uids(self) -> frozenset[str]:
        return frozenset(self.restarts)


def is_ready(pod: Obj) -> bool:
    """Whether the pod may get traffic: its Ready condition is True and it is not being deleted."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def restarts(pod: Obj) -> int:
    return sum(each.get("restartCount", 0) for each in pod.get("status", {}).get("containerStatuses", []))


def of_group(pods: Iterable[Obj], group: Group) -> list[Obj]:
    """The pods of one group, the leader first."""
    wanted = (group[0], str(group[1]))
    found = [pod for pod in pods if (label(pod, ZONE), label(pod, INDEX)) == wanted]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def group_of(pod: Obj) -> Group:
    return label(pod, ZONE), int(label(pod, INDEX) or "-1")


def label(pod: Obj, key: str) -> str:
    return str(pod["metadata"].get("labels", {}).get(key, ""))


def out_of_rotation(pods: Sequence[Seen], leader_uid: str, since: float) -> float | None:
    """When the leader's pod was first seen not ready, deleted or gone; None when it never was."""
    for event in pods:
        about_it = event.at >= since and event.obj["metadata"]["uid"] == leader_uid
        if about_it and (event.kind == "DELETED" or not is_ready(event.obj)):
            return event.at
    return None


def recreated(pods: Sequence[Seen], group: Group, old: Pods, since: float) -> float | None:
    """When as many pods as before, none of them an old one (by UID), were ready in the group; None when never."""
    for at, current in states(pods):
        now = of_group(current.values(), group)
        if at >= since and _renewed(now, old):
            return at
    return None


def all_recreated(pods: Sequence[Seen], old: Pods, since: float) -> float | None:
    """The same for all pods of the resource."""
    for at, current in states(pods):
        if at >= since and _renewed(list(current.values()), old):
            return at
    return None


def _renewed(now: Sequence[Obj], old: Pods) -> bool:
    uids = {pod["metadata"]["uid"] for pod in now}
    return len(now) == len(old.uids) and not uids & old.uids and all(map(is_ready, now))


def returned(pods: Sequence[Seen], old: Pods, since: float) -> float | None:
    """When all old pods were ready once more after one was not, without a restart of any container; None when never."""
    was_out = False
    for at, current in states(pods):
        if at < since:
            continue
        now = [pod for pod in current.values() if pod["metadata"]["uid"] in old.uids]
        if len(now) != len(old.uids) or any(restarts(pod) != old.restarts[pod["metadata"]["uid"]] for pod in now):
            return None
        ready = all(map(is_ready, now))
        if ready and was_out:
            return at
        was_out = was_out or not ready
    return None


def enlarged(pods: Sequence[Seen], groups: Mapping[str, int], since: float) -> float | None:
    """When each of the zones first had pods of more groups than these; None when never."""
    for at, current in states(pods):
        found = {group_of(pod) for pod in current.values()}
        if at >= since and all(sum(zone == each for each, _ in found) > count for zone, count in groups.items()):
            return at
    return None


def removed(pods: Sequence[Seen], old: Pods, since: float) -> float | None:
    """When the last of these pods was gone; None while one is there."""
    for at, current in states(pods):
        if at >= since and not old.uids & {pod["metadata"]["uid"] for pod in current.values()}:
            return at
    return None


def ended(pods: Sequence[Seen], old: Pods, since: float) -> float | None:
    """When a container of each of these pods had ended (or the pod was gone); None when one never did."""
    first: dict[str, float] = {}
    for event in pods:
        uid = str(event.obj["metadata"]["uid"])
        if event.at >= since and uid in old.uids and (event.kind == "DELETED" or _has_ended(event.obj, old)):
            first.setdefault(uid, event.at)
    return max(first.values()) if first.keys() == old.uids else None


def _has_ended(pod: Obj, old: Pods) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return restarts(pod) > old.restarts[pod["metadata"]["uid"]] or any(
        "terminated" in each.get("state", {}) for each in statuses
    )


def disturbed(pods: Sequence[Seen], left_alone: Pods, since: float) -> str:
    """The first pod that was to be left alone and was not ready, or was replaced; empty when all was well."""
    for at, current in states(pods):
        if at < since:
            continue
        there = {pod["metadata"]["uid"]: pod for pod in current.values()}
        unready = [
            pod["metadata"]["name"] for uid, pod in there.items() if uid in left_alone.uids and not is_ready(pod)
        ]
        if unready or left_alone.uids - there.keys():
            who = ", ".join(unready) or "a pod"
            return f"another group was disturbed: {who} was not ready or gone {at - since:.1f} s after the event"
    return ""


def termination(pods: Sequence[Seen], uids: frozenset[str], since: float) -> str:
    """How the first container of the group ended, as its pod says it; empty when none was seen to end in error."""
    found: list[tuple[str, int, str]] = []
    for order, event in enumerate(pods):
        if event.at < since or event.obj["metadata"]["uid"] not in uids:
            continue
        for status in event.obj.get("status", {}).get("containerStatuses", []):
            for state in (status.get("state", {}), status.get("lastState", {})):
                over = state.get("terminated")
                if over and over.get("exitCode"):
                    text = f"pod {event.obj['metadata']['name']}: {_ending(over)}"
                    found.append((over.get("finishedAt") or "", order, text))
    return min(found)[2] if found else ""


def _ending(over: Obj) -> str:
    code = f"exit code {over['exitCode']}"
    try:
        told = json.loads(over.get("message") or "")
        return f"{code}: {told['reason']}: {told['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{code} ({over.get('reason') or 'no reason'})"


def said_by_status(resources: Sequence[Seen], group: Group, clock: float) -> str:
    """The first cause that the status kept of a failure of the group at or after ``clock``; empty when it kept none.

    ``clock`` in seconds since the epoch; the status knows whole seconds, so the second of the event counts too. What is
    kept is corrected while pods still tell, so the last word counts.
    """
    found = ""
    for event in resources:
        for zone in event.obj.get("status", {}).get("zones", []):
            for failure in zone.get("failures", []) if zone["name"] == group[0] else ():
                if failure["group"] == group[1] and _epoch(failure["time"]) >= int(clock):
                    found = ": ".join(filter(None, (failure["pod"], failure["cause"], failure.get("message"))))
    return found


def _epoch(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def said_reason(resources: Sequence[Seen], reason: str, since: float) -> float | None:
    """When a condition first had this reason; None when none ever did."""
    for event in resources:
        conditions = event.obj.get("status", {}).get("conditions", [])
        if event.at >= since and any(each.get("reason") == reason for each in conditions):
            return event.at
    return None


def weight_moved(routes: Sequence[Seen], zone: str, since: float) -> float | None:
    """When the route first gave the zone no traffic; None when it never did."""
    for event in routes:
        if event.at >= since and event.kind != "DELETED" and weights(event.obj, zone) == [0]:
            return event.at
    return None


def weight_back(routes: Sequence[Seen], zone: str, since: float) -> float | None:
    """When the route first gave the zone traffic again after it had none; None when it never did."""
    out = weight_moved(routes, zone, since)
    if out is None:
        return None
    later = (event for event in routes if event.at > out and event.kind != "DELETED")
    return next((event.at for event in later if 0 not in weights(event.obj, zone)), None)


def settled(routes: Sequence[Seen], zone: str, since: float) -> float | None:
    """When every zone had, for good, the share again that it had at first, after the zone had none; else None."""
    return None if weight_moved(routes, zone, since) is None else _as_at_first(routes)


def rebalanced(routes: Sequence[Seen], zone: str, since: float) -> float | None:
    """When every zone had, for good, the share again that it had at first, after the zone had less; else None."""
    whole = weights(routes[0].obj, zone)
    less = any(each.at >= since and each.kind != "DELETED" and weights(each.obj, zone) < whole for each in routes)
    return _as_at_first(routes) if less else None


def _as_at_first(routes: Sequence[Seen]) -> float | None:
    """When every zone had, for good, the share that it had at first; None while it has another one."""
    first, at = shares(routes[0].obj), None
    for event in reversed(routes):
        if event.kind == "DELETED" or shares(event.obj) != first:
            break
        at = event.at
    return at


def remade(routes: Sequence[Seen], since: float) -> float | None:
    """When the route was there again, for good, with the shares that it had at first; None while it is not."""
    gone = next((event.at for event in routes if event.at >= since and event.kind == "DELETED"), None)
    if gone is None or routes[-1].kind == "DELETED" or shares(routes[-1].obj) != shares(routes[0].obj):
        return None
    return next(event.at for event in routes if event.at > gone and event.kind != "DELETED")


def returns(routes: Sequence[Seen], since: float) -> int:
    """How often the route gave traffic to a zone that had none; what it was before the event counts as the start."""
    count = 0
    before: dict[str, int] = {}
    for event in routes:
        if event.kind == "DELETED":
            continue
        now = shares(event.obj)
        if event.at >= since:
            count += sum(weight > 0 and before.get(name) == 0 for name, weight in now.items())
        before = now
    return count


def zones_out(routes: Sequence[Seen], since: float) -> int:
    """Most zones that the route gave no traffic at one time."""
    found = (event for event in routes if event.at >= since and event.kind != "DELETED")
    return max((list(shares(event.obj).values()).count(0) for event in found), default=0)


def shares(route: Obj) -> dict[str, int]:
    """The weight of each backend of the route's first rule, by its name."""
    return {str(ref["name"]): int(ref.get("weight", 1)) for ref in route["spec"]["rules"][0].get("backendRefs", [])}


def weights(route: Obj, zone: str) -> list[int]:
    """The zone's weights in the route's rules, each once."""
    refs = [ref for rule in route["spec"]["rules"] for ref in rule.get("backendRefs", [])]
    return sorted({ref.get("weight", 1) for ref in refs if f"-{zone}" in ref["name"]})
