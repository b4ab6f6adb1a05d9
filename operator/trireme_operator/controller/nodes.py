"""Nodes that are about to be emptied, as far as this process was told: only where the installation lets it read nodes.

A cluster has thousands of nodes of 10 kB and more, and each kubelet reports its own every five minutes. So nothing is
kept of a node but why it is about to be emptied, of all others nothing at all, and only a change of that wakes anybody:
the resources that have a pod there. What kubelets report is also why nodes are not compared with lists, as what the
store keeps is: an event that was lost is made up for by the node's next one.

Nodes come and go by `Feed`, which tells what a list or a watch said.
"""

import asyncio
from collections.abc import Callable, Collection
from sys import intern

from trireme_operator.api.labels import LABEL_CLUSTER
from trireme_operator.controller.queue import Key
from trireme_operator.controller.store import PodObserver, Stream, Where
from trireme_operator.kube import Kind, KubeError, Obj
from trireme_operator.planning import Notice

CORDON = "node.kubernetes.io/unschedulable"
"""What `kubectl cordon` comes to: Kubernetes keeps this taint as long as `spec.unschedulable` is true."""


class Places:
    """Which pods are on which node. It stands between the store and who else wants to know of pods."""

    def __init__(self, beyond: PodObserver) -> None:
        self._beyond = beyond
        self._placed: dict[str, tuple[str, Key]] = {}

    def see(self, pod: Obj) -> None:
        """See `PodObserver`."""
        metadata, node = pod["metadata"], (pod.get("spec") or {}).get("nodeName")
        cluster = (metadata.get("labels") or {}).get(LABEL_CLUSTER)
        if node and cluster:
            self._placed[metadata["uid"]] = intern(node), Key(intern(metadata["namespace"]), intern(cluster))
        self._beyond.see(pod)

    def forget(self, uid: str) -> None:
        """See `PodObserver`."""
        self._placed.pop(uid, None)
        self._beyond.forget(uid)

    def on(self, nodes: Collection[str]) -> set[Key]:
        """The resources that have a pod on one of the nodes."""
        return {key for node, key in self._placed.values() if node in nodes}


class Nodes:
    """What is known. `taints` are the keys that announce maintenance, `CORDON` among them where a cordon does.

    `changed` is called with each resource that this is news for, once the store is `ready`.
    """

    def __init__(
        self,
        taints: Collection[str],
        places: Places,
        changed: Callable[[Key], None],
        *,
        paging: asyncio.Semaphore,
        ready: asyncio.Event,
    ) -> None:
        self.known = False
        """Whether nodes were listed, or nobody will ever know: until then what was decided before stands."""
        self.paging = paging
        self._taints = frozenset(taints)
        self._places = places
        self._changed = changed
        self._ready = ready
        self._notices: dict[str, Notice] = {}

    def notice(self, node: str) -> Notice | None:
        """Why the node is about to be emptied; None when it is not."""
        return self._notices.get(node)

    def see(self, _: Kind, event: str | None, obj: Obj) -> None:
        """An event of the watch, or a node that a list showed (None)."""
        name = obj["metadata"]["name"]
        self._set(name, None if event == "DELETED" else self._read(name, obj.get("spec") or {}))

    def listed(self, _: Stream, found: Collection[Where], __: int) -> None:
        """A list is through: nodes that it did not show are gone."""
        names = {name for _, name in found}
        self._forget([name for name in self._notices if name not in names])
        if not self.known:
            self.known = True
            self._wake(self._notices)

    def refused(self, _: Stream, __: KubeError) -> None:
        """Nodes may not be read: it is as if nobody had asked for it, and resources name the right that is missing."""
        self._forget(list(self._notices))
        self.known = True

    def unserved(self, _: Stream) -> None:
        """An API server without nodes has none in maintenance."""
        self._forget(list(self._notices))
        self.known = True

    def set_aside(self, stream: Stream, error: KubeError) -> None:
        """It can't be read for now: what is known stands."""

    def _read(self, name: str, spec: Obj) -> Notice | None:
        keys = [taint.get("key") for taint in spec.get("taints") or []]
        if CORDON in self._taints and (spec.get("unschedulable") or CORDON in keys):
            return Notice(name)
        return next((Notice(name, key) for key in keys if key in self._taints), None)

    def _set(self, name: str, notice: Notice | None) -> None:
        if notice == self._notices.get(name):
            return
        if notice is None:
            del self._notices[name]
        else:
            self._notices[name] = notice
        self._wake([name])

    def _forget(self, names: Collection[str]) -> None:
        for name in names:
            del self._notices[name]
        self._wake(names)

    def _wake(self, names: Collection[str]) -> None:
        if names and self._ready.is_set():
            for key in sorted(self._places.on(names)):
                self._changed(key)
