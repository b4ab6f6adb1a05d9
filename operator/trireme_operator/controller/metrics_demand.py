"""Whether anybody needs our metrics server: a resource that scales on the queue's length and has no other source."""

from __future__ import annotations

from typing import Any, Final

from trireme_operator.controller.queue import Key
from trireme_operator.controller.store import Store
from trireme_operator.kube import INFERENCE_CLUSTER

_OTHERS: Final = frozenset({"PrometheusAdapter", "KEDA"})


class Demand:
    """Asks the store; a resource is read again only when it has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[Key, tuple[int, bool]] = {}

    @property
    def is_known(self) -> bool:
        """Whether all resources were listed."""
        return self._store.ready.is_set()

    def __call__(self) -> bool:
        """Whether at least one resource wants it."""
        keys = self._store.resources()
        for key in self._known.keys() - set(keys):
            del self._known[key]
        return any(self._wants(key) for key in keys)

    def _wants(self, key: Key) -> bool:
        version, _ = self._store.stamp(INFERENCE_CLUSTER, (key.namespace, key.name))
        known = self._known.get(key)
        if known is None or known[0] != version:
            known = self._known[key] = version, wants((self._store.resource(key) or {}).get("spec") or {})
        return known[1]


def wants(spec: dict[str, Any]) -> bool:
    """By the spec as it is stored, valid or not: to read a thousand of them with their models takes a second."""
    scaling = spec.get("autoscaling") or {}
    if not scaling or scaling.get("source") in _OTHERS:
        return False
    metrics = scaling.get("metrics") or {}
    return bool(metrics.get("queueLength")) or not (metrics or scaling.get("customMetrics"))
