"""Objects as they are kept in memory: what a reconcile reads of them, as compressed text.

Objects of one kind are alike, so an earlier one is the dictionary of those that follow it: a LeaderWorkerSet of 8 kB
takes 0.2 kB then (1.8 kB without, 60 kB as the dicts it is read into).
"""

import json
import zlib
from typing import Any, cast

from pydantic_core import to_json

from trireme_operator.kube import POD, Kind, Obj

_LEVEL = 1
"""More saves little and costs twice the time."""
_DICTIONARIES = 16
"""At most, of one kind: its objects differ (with a status and without, one pod's and many's)."""
_DICTIONARY_BYTES = 32_768
"""As far back as zlib looks."""
_ALIKE = 4
"""An object that the newest dictionary makes no smaller than a quarter becomes the next one."""
_POD_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
)
_POD_STATUS = ("startTime", "phase", "reason", "message", "conditions", "initContainerStatuses", "containerStatuses")


def trimmed(kind: Kind, obj: Obj) -> Obj:
    """What is kept: all but `managedFields`, and of a pod (others make it) its metadata, node, images and status."""
    if kind == POD:
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": _only(obj["metadata"], _POD_METADATA),
            "spec": _pod_spec(obj.get("spec") or {}),
            "status": _only(obj.get("status") or {}, _POD_STATUS),
        }
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


class Packer:
    """Packs the objects of one kind. Only its own `unpack` reads what it packed: it has the dictionaries."""

    def __init__(self) -> None:
        self._dictionaries: list[bytes] = []

    def pack(self, obj: Obj) -> bytes:
        """The object as bytes: the number of its dictionary, then compressed JSON."""
        text = to_json(obj)
        packed = self._compressed(text) if self._dictionaries else text
        if len(packed) * _ALIKE > len(text) and len(self._dictionaries) < _DICTIONARIES:
            self._dictionaries.append(text[-_DICTIONARY_BYTES:])
            packed = self._compressed(text)
        return packed

    def unpack(self, packed: bytes) -> Obj:
        """The object again; a new one each time, so whoever asked may change it."""
        reader = zlib.decompressobj(zdict=self._dictionaries[packed[0]])
        return cast("Obj", json.loads(reader.decompress(packed[1:])))

    def _compressed(self, text: bytes) -> bytes:
        newest = len(self._dictionaries) - 1
        writer = zlib.compressobj(_LEVEL, zdict=self._dictionaries[newest])
        return bytes([newest]) + writer.compress(text) + writer.flush()


def _pod_spec(spec: dict[str, Any]) -> Obj:
    """The node, and images that are mounted: what waits for one is told apart by them (``causes``)."""
    images = [{"image": volume["image"]} for volume in spec.get("volumes") or [] if "image" in volume]
    return _only(spec, ("nodeName",)) | ({"volumes": images} if images else {})


def _only(found: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: found[key] for key in keys if key in found}
