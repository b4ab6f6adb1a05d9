"""What ``trireme status -o json`` writes: everything that is shown, without ages, which would differ each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trireme_operator.cli.observed import Group, Observed, Pod, Zone
from trireme_operator.collector import Heard


def data(found: Observed) -> dict[str, Any]:
    """The resource as one object."""
    metadata, status = found.raw["metadata"], found.raw.get("status") or {}
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "url": status.get("url"),
        "conditions": [
            {key: condition.get(key) for key in ("type", "status", "reason", "message")}
            for condition in status.get("conditions") or []
        ],
        "zones": [_zone(zone) for zone in found.zones],
    }


def _zone(zone: Zone) -> dict[str, Any]:
    return {
        "name": zone.name,
        "wanted": zone.status.get("groups"),
        "ready": zone.status.get("readyGroups"),
        "weight": zone.status.get("weight"),
        "weightReason": zone.status.get("weightReason"),
        "weightPercent": zone.status.get("weightPercent"),
        "drain": zone.status.get("drain"),
        "message": zone.status.get("message"),
        "revision": zone.revision or None,
        "groups": [_group(group) for group in zone.groups],
        "failures": [_failure(each) for each in zone.status.get("failures") or []],
    }


def _group(group: Group) -> dict[str, Any]:
    stalled: Mapping[str, Any] = group.stalled or {}
    return {
        "index": group.index,
        "ready": group.ready,
        "stage": stalled.get("stage"),
        "since": stalled.get("since"),
        "fetchedBytes": stalled.get("fetchedBytes"),
        "totalBytes": stalled.get("totalBytes"),
        "reason": stalled.get("reason"),
        "pods": [_pod(pod) for pod in group.pods],
    }


def _failure(told: Mapping[str, Any]) -> dict[str, Any]:
    names = ("group", "pod", "cause", "message", "log", "time", "count", "nextTry")
    return {name: told.get(name) for name in names}


def _pod(pod: Pod) -> dict[str, Any]:
    return {
        "name": pod.name,
        "role": pod.role,
        "node": pod.node,
        "ready": pod.ready,
        "restarts": pod.restarts,
        "state": pod.state,
        "launcher": _heard(pod.heard) if pod.heard is not None else None,
        "unheard": pod.unheard or None,
    }


def _heard(heard: Heard) -> dict[str, Any]:
    failure, canary, held = heard.failure, heard.canary, heard.held
    return {
        "stage": heard.stage,
        "since": heard.since,
        "reason": heard.reason,
        "bytes": heard.done,
        "totalBytes": heard.total,
        "lost": [{"index": each.index, "state": each.state, "reason": each.reason} for each in heard.lost],
        "stalledSince": heard.stalled,
        "failure": failure
        and {"reason": failure.reason, "message": failure.message, "pod": failure.pod, "rank": failure.rank},
        "canary": canary and {"passed": canary.passed, "reason": canary.reason},
        "held": held and {"until": held.until, "failures": held.failures, "cause": held.cause},
        "failedChecks": list(heard.failed_checks),
    }
