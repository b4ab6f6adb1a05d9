"""Why a pod is not ready, in words that stay the same until the cause changes.

The kubelet alternates between texts for one cause (ErrImagePull with a long error, then ImagePullBackOff with
another): a status copied from it would be written for ever, so each cause is said in our own words. Everything is read
from the pod itself; no node or Secret is.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from trireme_operator.api import Reason
from trireme_operator.kube import Obj

_TEXT_LIMIT = 600
_LOG_LINES = 3


class Stage(StrEnum):
    """How far a group has come."""

    PENDING = "Pending"
    STARTING = "Starting"
    LOADING = "Loading"
    READY = "Ready"
    FAILED = "Failed"
    HELD = "Held"
    ENDING = "Ending"


@dataclass(frozen=True)
class Cause:
    """One cause; `serious` says that waiting alone does not heal it."""

    stage: Stage
    reason: Reason
    message: str

    @property
    def serious(self) -> bool:
        """Whether somebody has to act."""
        return self.reason is not Reason.STARTING


# The scheduler's plugin NodeResourcesFit (k8s.io/kubernetes v1.36.3, pkg/scheduler/framework/plugins/noderesources).
_INSUFFICIENT = re.compile(r"Insufficient ([A-Za-z0-9./_-]*[A-Za-z0-9])")
_MORE_NODES = "add a node with room for it to its zone, or lower spec.resources or spec.accelerator"
_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


def cause_of(pod: Obj) -> Cause | None:
    """The first cause why `pod` is not ready, or None when it is."""
    if is_ready(pod):
        return None
    name = pod["metadata"]["name"]
    status = pod.get("status") or {}
    unscheduled = _unscheduled(name, status)
    if unscheduled is not None:
        return unscheduled
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for find in (partial(_waiting, mounted=_mounted_images(pod)), _terminated):
        for container in statuses:
            cause = find(name, container)
            if cause is not None:
                return cause
    if any("running" in (container.get("state") or {}) for container in status.get("containerStatuses") or []):
        return Cause(Stage.LOADING, Reason.STARTING, f"pod {name} runs and does not answer yet")
    text = f"pod {name} is being started; if that stays so, see its events (kubectl describe pod {name})"
    return Cause(Stage.STARTING, Reason.STARTING, text)


def is_ready(pod: Obj) -> bool:
    """Whether the pod's Ready condition is True and it is not being deleted."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def worst(causes: Iterable[Cause]) -> Cause | None:
    """The cause to show: a serious one before one that passes, else the first."""
    ordered = sorted(causes, key=lambda cause: not cause.serious)
    return ordered[0] if ordered else None


def _unscheduled(name: str, status: Mapping[str, Any]) -> Cause | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            text = _cut(condition.get("message") or condition.get("reason") or "no node fits")
            lacking = ", ".join(dict.fromkeys(_INSUFFICIENT.findall(text)))
            if lacking:
                said = f"pod {name} can't be scheduled: no node that it may run on has enough of {lacking} left: {text}"
                return Cause(Stage.PENDING, Reason.NO_CAPACITY, f"{said}; {_MORE_NODES}")
            way_out = (
                "see that the claim exists in this namespace, is bound, and can be reached from the pod's zone"
                if "persistentvolumeclaim" in text.lower()
                else _MORE_NODES
            )
            return Cause(Stage.PENDING, Reason.UNSCHEDULABLE, f"pod {name} can't be scheduled: {text}; {way_out}")
    return None


def _mounted_images(pod: Obj) -> str:
    """Images that the pod mounts as volumes: the kubelet reports one that is missing as the container's own image."""
    volumes = (pod.get("spec") or {}).get("volumes") or []
    images = [volume["image"].get("reference", "") for volume in volumes if "image" in volume]
    return "".join(f", or the image {image!r} that it mounts," for image in images)


def _waiting(name: str, container: Mapping[str, Any], *, mounted: str) -> Cause | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _IMAGE_REASONS:
        image = f"the image {container.get('image', '')!r} of container {container.get('name')}{mounted}"
        return Cause(
            Stage.PENDING,
            Reason.IMAGE_NOT_FOUND,
            f"pod {name}: {image} can't be pulled; check its name, that the registry can be reached, and "
            "imagePullSecrets in spec.podTemplate",
        )
    if reason in _CONFIG_REASONS:
        text = _cut(waiting.get("message") or reason)
        # The kubelet uses one waiting reason for all of these; only its text tells a missing reference.
        reference = "not found" in text and ("secret" in text or "configmap" in text)
        way_out = "; create it in this namespace" if reference else ""
        return Cause(
            Stage.PENDING,
            Reason.SECRET_MISSING if reference else Reason.POD_FAILING,
            f"pod {name}: container {container.get('name')} can't be created: {text}{way_out}",
        )
    return None


def _terminated(name: str, container: Mapping[str, Any]) -> Cause | None:
    for state in (container.get("state") or {}, container.get("lastState") or {}):
        ended = state.get("terminated")
        if ended and (ended.get("exitCode") or ended.get("reason") == "OOMKilled"):
            return Cause(
                Stage.FAILED,
                Reason.POD_FAILING,
                f"pod {name}: container {container.get('name')} ended with {_ending(ended)}",
            )
    return None


def _ending(ended: Mapping[str, Any]) -> str:
    code = ended.get("exitCode")
    if ended.get("reason") == "OOMKilled":
        return f"exit code {code} (OOMKilled: raise spec.resources.limits.memory)"
    text = _termination_message(ended.get("message") or "")
    return f"exit code {code}" + (f": {text}" if text else "")


def _termination_message(raw: str) -> str:
    """The launcher's first cause (`docs/contract.md`), or what another program left there."""
    try:
        told = json.loads(raw)
    except ValueError:
        return _cut(raw.strip())
    if not isinstance(told, dict):
        return _cut(raw.strip())
    said = _cut(": ".join(str(told[key]) for key in ("reason", "message") if told.get(key)))
    return said + _last_lines(told.get("log"), room=_TEXT_LIMIT - len(said))


def _last_lines(log: Any, *, room: int) -> str:
    """The end of the log in at most ``room`` characters: what a program said last tells most."""
    lines = [_line(item) for item in log if _line(item)] if isinstance(log, list) else []
    label, text = "; last lines: ", " | ".join(lines[-_LOG_LINES:])
    room -= len(label)
    if not text or room <= len("..."):
        return ""
    return label + (text if len(text) <= room else "..." + text[len(text) - room + 3 :])


def _line(text: Any) -> str:
    return " ".join(str(text).split())


def _cut(text: Any) -> str:
    line = _line(text)
    return line if len(line) <= _TEXT_LIMIT else line[: _TEXT_LIMIT - 3] + "..."
