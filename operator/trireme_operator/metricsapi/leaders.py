"""The leaders of groups, and the queue that each named last: all that an answer is made from.

A leader that has nothing fresh to say is not there: it is loading, draining, silent or unhealthy. The HPA controller
takes a pod without a value for an idle one before it adds groups, and for one exactly at the target before it takes
some away: so groups that are still loading count as capacity to come, and what is not known never ends a group
(k8s.io/kubernetes, pkg/controller/podautoscaler/replica_calculator.go, calcPlainMetricReplicas).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

from trireme_operator.collector.targets import Target, target_of
from trireme_operator.metricsapi.selectors import Requirement


@dataclass(slots=True)
class Leader:
    """A leader's pod; `value` (requests) was read at `at`, a moment of a monotonic clock. None: it said nothing."""

    target: Target
    namespace: str
    name: str
    labels: dict[str, str]
    value: int | None = None
    at: float = 0.0


class Leaders:
    """All of them, by namespace. Belongs to one event loop; times are the caller's."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Leader] = {}
        self._by_namespace: dict[str, dict[str, Leader]] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def see(self, pod: dict[str, Any]) -> Target | None:
        """A pod as the API server shows it; the target to ask, None when it is no leader that could answer."""
        target = target_of(pod)
        metadata = pod["metadata"]
        if target is None or not target.leads:
            self.forget(metadata["uid"])
            return None
        known = self._by_uid.get(target.uid)
        labels = {intern(key): intern(str(value)) for key, value in metadata["labels"].items()}
        if known is not None and known.target == target:
            known.labels = labels
            return target
        self.forget(target.uid)
        leader = Leader(target, target.where[0], metadata["name"], labels)
        self._by_uid[target.uid] = leader
        self._by_namespace.setdefault(leader.namespace, {})[leader.name] = leader
        return target

    def forget(self, uid: str) -> None:
        """A pod is gone; so is what it said."""
        leader = self._by_uid.pop(uid, None)
        if leader is None:
            return
        inside = self._by_namespace[leader.namespace]
        if inside.get(leader.name) is leader:
            del inside[leader.name]
        if not inside:
            del self._by_namespace[leader.namespace]

    def uids(self) -> frozenset[str]:
        """The pods that are known."""
        return frozenset(self._by_uid)

    def said(self, target: Target, value: int | None, at: float) -> None:
        """A leader answered: `value` is None when it has no queue to name. Nothing of another pod is taken in."""
        leader = self._by_uid.get(target.uid)
        if leader is not None and leader.target == target:
            leader.value, leader.at = value, at

    def fresh(
        self, namespace: str, name: str | None, selector: Sequence[Requirement], *, since: float
    ) -> Iterator[Leader]:
        """Those with a value not older than `since`: the one of a name, or all that the selector takes."""
        inside = self._by_namespace.get(namespace, {})
        found = inside.values() if name is None else [inside[name]] if name in inside else []
        for leader in found:
            if leader.value is not None and leader.at >= since and all(part.holds(leader.labels) for part in selector):
                yield leader

    def spoken(self, *, since: float) -> int:
        """How many have a fresh value."""
        return sum(leader.value is not None and leader.at >= since for leader in list(self._by_uid.values()))
