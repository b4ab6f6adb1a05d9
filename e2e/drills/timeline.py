"""What a drill's record tells: when the group left rotation, when it was whole again, why, and what else moved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from e2e.api import Obj
from e2e.drills.record import Seen, states

ZONE = "trireme.dev/zone"
ROLE = "trireme.dev/role"


def is_ready(pod: Obj) -> bool:
    """Whether the pod may get traffic: its Ready condition is True and it is not being deleted."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def of_zone(pods: Iterable[Obj], zone: str) -> list[Obj]:
    """The pods of one zone, the leader first."""
    return sorted((pod for pod in pods if label(pod, ZONE) == zone), key=lambda pod: str(pod["metadata"]["name"]))


def label(pod: Obj, key: str) -> str:
    return str(pod["metadata"].get("labels", {}).get(key, ""))


def out_of_rotation(pods: Sequence[Seen], leader_uid: str, since: float) -> float | None:
    """When the leader's pod was first seen not ready, deleted or gone; None when it never was."""
    for event in pods:
        about_it = event.at >= since and event.obj["metadata"]["uid"] == leader_uid
        if about_it and (event.kind == "DELETED" or not is_ready(event.obj)):
            return event.at
    return None


def recovered(pods: Sequence[Seen], zone: str, old: frozenset[str], since: float) -> float | None:
    """When as many pods as before, none of them an old one (by UID), were ready in the zone; None when never."""
    for at, current in states(pods):
        group = of_zone(current.values(), zone)
        uids = {pod["metadata"]["uid"] for pod in group}
        if at >= since and len(group) == len(old) and not uids & old and all(map(is_ready, group)):
            return at
    return None


def disturbed(pods: Sequence[Seen], zone: str, uids: frozenset[str], since: float) -> str:
    """The first pod of a zone that was to be left alone and was not ready, or was replaced; empty when all was well."""
    for at, current in states(pods):
        if at < since:
            continue
        group = of_zone(current.values(), zone)
        lost = uids - {pod["metadata"]["uid"] for pod in group}
        unready = [pod["metadata"]["name"] for pod in group if not is_ready(pod)]
        if lost or unready:
            return f"{zone}: {', '.join(unready) or 'a pod'} was not ready or gone {at - since:.1f} s after the event"
    return ""


def termination(pods: Sequence[Seen], uids: frozenset[str], since: float) -> str:
    """How the first container of the group ended, as its pod says it; empty when none was seen to end in error."""
    found: list[tuple[str, int, str]] = []
    for order, event in enumerate(pods):
        if event.at < since or event.obj["metadata"]["uid"] not in uids:
            continue
        for status in event.obj.get("status", {}).get("containerStatuses", []):
            for state in (status.get("state", {}), status.get("lastState", {})):
                ended = state.get("terminated")
                if ended and ended.get("exitCode"):
                    text = f"pod {event.obj['metadata']['name']}: {_ending(ended)}"
                    found.append((ended.get("finishedAt") or "", order, text))
    return min(found)[2] if found else ""


def _ending(ended: Obj) -> str:
    code = f"exit code {ended['exitCode']}"
    try:
        told = json.loads(ended.get("message") or "")
        return f"{code}: {told['reason']}: {told['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{code} ({ended.get('reason') or 'no reason'})"


def said_by_status(resources: Sequence[Seen], since: float) -> str:
    """The first message of a condition that tells how a container ended; empty when the status never did."""
    for event in resources:
        for condition in event.obj.get("status", {}).get("conditions", []):
            if event.at >= since and "ended with" in condition["message"]:
                return str(condition["message"])
    return ""


def weight_moved(routes: Sequence[Seen], zone: str, since: float) -> float | None:
    """When the route first gave the zone no traffic; None when it never did."""
    for event in routes:
        if event.at >= since and event.kind != "DELETED" and weights(event.obj, zone) == [0]:
            return event.at
    return None


def weights(route: Obj, zone: str) -> list[int]:
    """The zone's weights in the route's rules, each once."""
    refs = [ref for rule in route["spec"]["rules"] for ref in rule.get("backendRefs", [])]
    return sorted({ref.get("weight", 1) for ref in refs if f"-{zone}" in ref["name"]})
