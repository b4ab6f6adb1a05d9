"""Which launchers are asked: those of pods that a LeaderWorkerSet made for a resource of ours, at their own address.

Where a request goes must not be for anybody to choose who may only make pods: the port is the launcher's, the path is
fixed, and the address is the one that the kubelet reported for the pod, which never is one of this host, of a link, or
of a cloud's metadata service.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from sys import intern
from typing import Any, Final

from trireme_operator.api.labels import (
    LABEL_CLUSTER,
    LWS_LABEL_GROUP_INDEX,
    LWS_LABEL_NAME,
    LWS_LABEL_WORKER_INDEX,
)

Where = tuple[str, str]
"""Namespace and name of a resource."""

_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Target:
    """One launcher: pod `uid` at `address`, worker `worker` (0 leads) of group `group` of the set `set_name`."""

    uid: str
    address: str
    where: Where
    set_name: str
    group: int
    worker: int

    @property
    def leads(self) -> bool:
        """Whether it is the leader's."""
        return self.worker == 0

    @property
    def pod(self) -> str:
        """The pod's name."""
        return f"{self.set_name}-{self.group}" + (f"-{self.worker}" if self.worker else "")


def target_of(pod: dict[str, Any]) -> Target | None:
    """The launcher of a pod as the API server shows it; None when it is not to be asked, or has no address yet."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    cluster, set_name = labels.get(LABEL_CLUSTER), labels.get(LWS_LABEL_NAME)
    group, worker = _index(labels.get(LWS_LABEL_GROUP_INDEX)), _index(labels.get(LWS_LABEL_WORKER_INDEX))
    address = _address(status.get("podIP"))
    if not cluster or not set_name or group is None or worker is None or address is None:
        return None
    if status.get("phase") != "Running" or not _is_made_by(set_name, group, worker, metadata):
        return None
    where = (intern(metadata["namespace"]), intern(cluster))
    return Target(metadata["uid"], address, where, intern(set_name), group, worker)


def _is_made_by(set_name: str, group: int, worker: int, metadata: dict[str, Any]) -> bool:
    """LeaderWorkerSet 0.9.0 makes leaders by a StatefulSet of its own name, and workers by one of the leader's name."""
    leader = f"{set_name}-{group}"
    owner, name = (leader, f"{leader}-{worker}") if worker else (set_name, leader)
    made = any(
        reference.get("controller") and reference.get("kind") == "StatefulSet" and reference.get("name") == owner
        for reference in metadata.get("ownerReferences") or []
    )
    return made and metadata["name"] == name


def _index(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() and text.isascii() and len(text) < _DIGITS else None


def _address(text: object) -> str | None:
    try:
        address = ip_address(str(text or ""))
    except ValueError:
        return None
    # An IPv4 address inside an IPv6 one is judged as what it is (the module does so by itself since Python 3.13).
    address = getattr(address, "ipv4_mapped", None) or address
    local = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return None if local else str(address)
