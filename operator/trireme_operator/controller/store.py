"""What stands in the cluster, as far as this process was told: the resources, their children and their pods.

Watches and lists tell what others did, our own requests tell what we did, and a reconcile reads from here instead of
asking. Three rules keep it honest:

- *It never goes back.* Of one object (one UID) only a greater resourceVersion replaces what is kept; since Kubernetes
  1.35 they may be compared (KEP-5504), and an etcd has always counted them up. What was deleted does not return.
- *An echo is no news.* The event of a write of our own wakes nobody; an event of anybody else's does, also one that
  comes late, from between two writes of ours. While a write is under way its object's events wait for the answer,
  because only that tells whose they are.
- *Nothing is absent before it was listed.* `ready` is set when every stream was read once, and before that only a
  resource is looked at of which all is `known`; a kind whose list is refused or not served says so in the children.

It is a cache and nothing else: thrown away, it fills again from lists, and the same reconciles follow.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple, Protocol

from trireme_operator.api.labels import LABEL_CLUSTER
from trireme_operator.controller.compact import Packer, trimmed
from trireme_operator.controller.first_cause import tells
from trireme_operator.controller.graves import Graves
from trireme_operator.controller.lacking import lacks
from trireme_operator.controller.queue import Key
from trireme_operator.controller.scope import CHILD_KINDS, Children
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, POD, Kind, KubeError, Obj

KINDS = (INFERENCE_CLUSTER, *CHILD_KINDS, POD)
"""What is kept here."""

_LAST_STATES = 1024
"""Pods that are remembered after they are gone, over all resources: failed ones, and leaders."""

_PAGES_AT_ONCE = 2
"""Pages of lists in memory at a time, over all streams: one on its way while the other is taken in."""

Where = tuple[str, str]
"""Namespace and name of an object."""


class Stream(NamedTuple):
    """What is listed and watched as one: a kind in a namespace, or in all of them."""

    kind: Kind
    namespace: str | None

    def covers(self, where: Where) -> bool:
        """Whether an object at this place comes with this stream."""
        return self.namespace in {None, where[0]}


@dataclass(slots=True)
class _Entry:
    """One object. `seen` is the greatest version that others told of, `own` are our writes that they have yet to."""

    uid: str
    version: int
    seen: int
    own: tuple[int, ...]
    owners: tuple[Key, ...]
    packed: bytes


@dataclass
class _Write:
    """Requests under way for one object, the versions that they made, and the events that wait for them."""

    requests: int = 0
    own: set[int] = field(default_factory=set)
    waiting: list[tuple[int, tuple[Key, ...]]] = field(default_factory=list)


class PodObserver(Protocol):
    """Who is told of each pod as the API server shows it, and of what is gone."""

    def see(self, pod: Obj) -> None:
        """A pod was added or has changed."""
        ...

    def forget(self, uid: str) -> None:
        """An object of this UID, which may have been a pod, is gone."""
        ...


class Store:
    """See the module. `changed` is called with each resource that should be looked at, once all is `ready`."""

    def __init__(self, streams: Iterable[Stream], changed: Callable[[Key], None]) -> None:
        self.streams = tuple(streams)
        self.ready = asyncio.Event()
        self.resources_read = asyncio.Event()
        self.paging = asyncio.Semaphore(_PAGES_AT_ONCE)
        self._changed = changed
        self.pods: PodObserver | None = None
        self.deletions = 0  # since the start
        self._unread = set(self.streams)
        self._unserved: set[Stream] = set()
        self._refused: dict[Stream, KubeError] = {}
        self._objects: dict[Kind, dict[Where, _Entry]] = {kind: {} for kind in KINDS}
        self._packers = {kind: Packer() for kind in KINDS}
        self._owned: dict[Key, set[tuple[Kind, str]]] = defaultdict(set)
        self._writes: dict[tuple[Kind, Where], _Write] = {}
        self._gone = Graves()
        self._last: OrderedDict[str, tuple[tuple[Key, ...], bytes]] = OrderedDict()

    # ---- what a reconcile reads --------------------------------------------------------------------------

    def resource(self, key: Key) -> Obj | None:
        """The resource itself, status included; None when there is none."""
        entry = self._objects[INFERENCE_CLUSTER].get((key.namespace, key.name))
        return None if entry is None else self._packers[INFERENCE_CLUSTER].unpack(entry.packed)

    def resources(self) -> tuple[Key, ...]:
        """Every resource."""
        return tuple(Key(*where) for where in self._objects[INFERENCE_CLUSTER])

    def belongs(self, kind: Kind, name: str, key: Key) -> bool:
        """Whether an object of this name is a child of the resource."""
        entry = self._objects[kind].get((key.namespace, name))
        return entry is not None and key in entry.owners

    def get(self, kind: Kind, where: Where) -> Obj | None:
        """Any object; None when there is none."""
        entry = self._objects[kind].get(where)
        return None if entry is None else self._packers[kind].unpack(entry.packed)

    def stamp(self, kind: Kind, where: Where) -> tuple[int, Key | None]:
        """The version of an object and the resource that it belongs to: (0, None) when there is none."""
        entry = self._objects[kind].get(where)
        return (0, None) if entry is None else (entry.version, entry.owners[0] if entry.owners else None)

    def children(self, key: Key) -> Children:
        """What belongs to a resource by its label, or by its owner where the label was stripped."""
        objects: dict[Kind, dict[str, Obj]] = {kind: {} for kind in CHILD_KINDS}
        pods = []
        for kind, name in sorted(self._owned.get(key, ()), key=lambda item: item[1]):
            obj = self._packers[kind].unpack(self._objects[kind][key.namespace, name].packed)
            if kind == POD:
                pods.append(obj)
            else:
                objects[kind][name] = obj
        inside = [stream for stream in self.streams if stream.covers((key.namespace, ""))]
        return Children(
            objects=objects,
            missing=frozenset(stream.kind for stream in inside if stream in self._unserved),
            pods=tuple(pods),
            refused={stream.kind: self._refused[stream] for stream in inside if stream in self._refused},
            gone=tuple(self._packers[POD].unpack(packed) for owners, packed in self._last.values() if key in owners),
        )

    def forget(self, uids: Iterable[str]) -> None:
        """What these pods, which are gone, had to tell is known."""
        for uid in uids:
            self._last.pop(uid, None)

    # ---- what others did ---------------------------------------------------------------------------------

    def see(self, kind: Kind, event: str | None, obj: Obj) -> None:
        """An event of a watch (`event` as there), or an object that a list or a read showed (None)."""
        metadata = obj["metadata"]
        where = (metadata["namespace"], metadata["name"])
        if event == "DELETED":
            if kind == POD:
                self._remember(trimmed(kind, obj))
            self._see_deleted(kind, where, metadata["uid"], int(metadata["resourceVersion"]), _owners(kind, metadata))
            return
        uid, version = metadata["uid"], int(metadata["resourceVersion"])
        if version <= self._gone.version(uid):
            return
        entry = self._objects[kind].get(where)
        if entry is None or entry.uid != uid:
            if entry is None or version > entry.version:
                owners = self._put(kind, where, obj, own=())
                self._tell(kind, where, version, owners + (entry.owners if entry else ()))
            return
        if version <= entry.seen:
            return
        ours, before = version in entry.own, entry.owners
        if version > entry.version:
            self._put(kind, where, obj, own=())
        else:
            entry.seen, entry.own = version, tuple(own for own in entry.own if own > version)
        if not ours:
            self._tell(kind, where, version, _owners(kind, metadata) + before)

    def listed(self, stream: Stream, found: Collection[Where], version: int) -> None:
        """A list of the stream as of `version` is through: what it did not show is gone, later writes excepted."""
        entries = self._objects[stream.kind]
        lost = [
            where
            for where, entry in entries.items()
            if stream.covers(where) and where not in found and entry.version <= version
        ]
        for where in lost:
            if stream.kind == POD:
                self._remember(self._packers[POD].unpack(entries[where].packed))
            self._see_deleted(stream.kind, where, entries[where].uid, version, ())
        if self._refused.pop(stream, None) is not None:
            self._tell_all()
        self._settle(stream, served=True)

    def behind(self, stream: Stream, listed: Iterable[Obj]) -> list[Obj]:
        """Of listed metadata, which are of a later version than what is kept, or of an object that is not kept."""
        result = []
        for metadata in listed:
            uid, version = metadata["uid"], int(metadata["resourceVersion"])
            entry = self._objects[stream.kind].get((metadata["namespace"], metadata["name"]))
            known = entry is not None and entry.uid == uid and entry.version >= version
            if not known and version > self._gone.version(uid):
                result.append(metadata)
        return result

    def unserved(self, stream: Stream) -> None:
        """The API server does not know the kind (any more)."""
        for where in [where for where in self._objects[stream.kind] if stream.covers(where)]:
            self._remove(stream.kind, where)
        self._refused.pop(stream, None)
        self._settle(stream, served=False)

    def refused(self, stream: Stream, error: KubeError) -> None:
        """The stream may not be read, so its objects are not known: resources must say so and leave them alone."""
        news = str(error) != str(self._refused.get(stream))
        self._refused[stream] = error
        self._settle(stream, served=True)
        if news:
            self._tell_all()

    def set_aside(self, stream: Stream, error: KubeError) -> None:
        """The stream can't be read for now: nothing waits for its first list; what was read before still counts."""
        if stream in self._unread or stream in self._refused:
            self.refused(stream, error)

    def known(self, key: Key) -> None:
        """All that belongs to this resource is here, before everything is: it can be looked at."""
        self._changed(key)

    def is_read(self, stream: Stream) -> bool:
        """Whether the stream was listed and is served."""
        return stream not in self._unread | self._unserved and stream not in self._refused

    # ---- what we did -------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, kind: Kind, where: Where) -> Iterator[None]:
        """While a write is under way, its object's events wait: the answer tells which of them are ours."""
        write = self._writes.setdefault((kind, where), _Write())
        write.requests += 1
        try:
            yield
        finally:
            write.requests -= 1
            if not write.requests:
                del self._writes[kind, where]
                for version, owners in write.waiting:
                    if version not in write.own:
                        self._wake(owners)

    def wrote(self, kind: Kind, obj: Obj) -> None:
        """What the API server answered to a write of ours; within `writing`."""
        metadata = obj["metadata"]
        where, uid = (metadata["namespace"], metadata["name"]), metadata["uid"]
        version = int(metadata["resourceVersion"])
        self._writes[kind, where].own.add(version)
        if version <= self._gone.version(uid):
            return
        entry = self._objects[kind].get(where)
        if entry is None or entry.uid != uid:
            if entry is None or version > entry.version:
                self._put(kind, where, obj, own=(version,), seen=-1)
        elif version > entry.version:
            self._put(kind, where, obj, own=(*entry.own, version), seen=entry.seen)
        elif version > entry.seen:
            entry.own = (*entry.own, version)

    def ending(self, kind: Kind, where: Where, uid: str) -> None:
        """We deleted it; until its DELETED event comes, it stands as one that is being deleted."""
        entry = self._objects[kind].get(where)
        if entry is not None and entry.uid == uid:
            obj = self._packers[kind].unpack(entry.packed)
            obj["metadata"].setdefault("deletionTimestamp", "requested")
            entry.packed = self._packers[kind].pack(obj)

    def absent(self, kind: Kind, where: Where) -> None:
        """A read of ours found nothing there."""
        entry = self._objects[kind].get(where)
        if entry is not None:
            self._see_deleted(kind, where, entry.uid, entry.version, ())

    # ---- inside ------------------------------------------------------------------------------------------

    def _put(
        self, kind: Kind, where: Where, obj: Obj, *, own: tuple[int, ...], seen: int | None = None
    ) -> tuple[Key, ...]:
        """Keep this version of the object; returns whose it is."""
        metadata = obj["metadata"]
        version = int(metadata["resourceVersion"])
        former = self._objects[kind].get(where)
        if former is not None and former.uid != metadata["uid"]:
            self._bury(former.uid, version)
        self._remove(kind, where)
        owners = _owners(kind, metadata)
        packed = self._packers[kind].pack(trimmed(kind, obj))
        entry = _Entry(metadata["uid"], version, version if seen is None else seen, own, owners, packed)
        self._objects[kind][where] = entry
        if kind == POD and self.pods is not None:
            self.pods.see(obj)
        if kind != INFERENCE_CLUSTER:
            for key in owners:
                self._owned[key].add((kind, where[1]))
        return owners

    def _remove(self, kind: Kind, where: Where) -> tuple[Key, ...]:
        entries = self._objects[kind]
        entry = entries.pop(where, None)
        if entry is None:
            return ()
        if not entries:
            entries.clear()  # an empty dict keeps the place for all that it once held
        if kind != INFERENCE_CLUSTER:
            for key in entry.owners:
                self._owned[key].discard((kind, where[1]))
                if not self._owned[key]:
                    del self._owned[key]
        return entry.owners

    def _see_deleted(self, kind: Kind, where: Where, uid: str, version: int, owners: tuple[Key, ...]) -> None:
        self._bury(uid, version)
        entry = self._objects[kind].get(where)
        if entry is not None and entry.uid == uid and entry.version <= version:
            owners += self._remove(kind, where)
        self._wake(owners)

    def _remember(self, pod: Obj) -> None:
        """A pod that failed may be gone before anybody looked at it: LeaderWorkerSet deletes it within two seconds."""
        owners = tuple(key for key in _owners(POD, pod["metadata"]) if key in self._objects[INFERENCE_CLUSTER])
        if owners and tells(pod):
            self._last[pod["metadata"]["uid"]] = (owners, self._packers[POD].pack(pod))
            if len(self._last) > _LAST_STATES:
                self._last.popitem(last=False)

    def _bury(self, uid: str, version: int) -> None:
        """Nothing up to this version of the object may come back."""
        if self.pods is not None:
            self.pods.forget(uid)
        self._gone.bury(uid, version)
        self.deletions += 1

    def _tell(self, kind: Kind, where: Where, version: int, owners: tuple[Key, ...]) -> None:
        write = self._writes.get((kind, where))
        if write is None:
            self._wake(owners)
        else:
            write.waiting.append((version, owners))

    def _settle(self, stream: Stream, *, served: bool) -> None:
        change = (stream in self._unserved) is served
        (self._unserved.discard if served else self._unserved.add)(stream)
        self._unread.discard(stream)
        if all(unread.kind != INFERENCE_CLUSTER for unread in self._unread):
            self.resources_read.set()
        if not self.ready.is_set():
            if not self._unread:
                self.ready.set()
                self._wake(sorted(self.resources(), key=self._is_whole))
        elif change:
            self._tell_all()

    def _is_whole(self, key: Key) -> bool:
        """Whether it seems so; the others are looked at first."""
        sets = sum(kind == LEADER_WORKER_SET for kind, _ in self._owned.get(key, ()))
        return not lacks(self.resource(key) or {}, sets)

    def _tell_all(self) -> None:
        self._wake(self.resources())

    def _wake(self, keys: Iterable[Key]) -> None:
        if self.ready.is_set():
            for key in dict.fromkeys(keys):
                self._changed(key)


def _owners(kind: Kind, metadata: Obj) -> tuple[Key, ...]:
    """The resources that an object belongs to: by its label, and by its owner where the label was moved or stripped."""
    namespace = intern(metadata["namespace"])
    if kind == INFERENCE_CLUSTER:
        return (Key(namespace, intern(metadata["name"])),)
    owners = [
        owner.get("name")
        for owner in metadata.get("ownerReferences") or []
        if owner.get("kind") == INFERENCE_CLUSTER.kind and owner.get("apiVersion") == INFERENCE_CLUSTER.api_version
    ]
    names = [(metadata.get("labels") or {}).get(LABEL_CLUSTER), *owners]
    return tuple(Key(namespace, intern(name)) for name in dict.fromkeys(names) if name)
