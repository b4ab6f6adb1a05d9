"""What every rendered object carries: labels, the owner, and a hash of itself."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from trireme_operator.api import API_VERSION, KIND, InferenceCluster
from trireme_operator.api.labels import ANNOTATION_HASH, LABEL_CLUSTER, LABEL_ZONE, MANAGED_BY

Obj = dict[str, Any]

_HASH_LENGTH: Final = 16


def labels(cluster: InferenceCluster, zone: str | None = None) -> dict[str, str]:
    """The labels that children are found by; the zone's is absent without zones."""
    common = {MANAGED_BY[0]: MANAGED_BY[1], LABEL_CLUSTER: cluster.metadata.name}
    return common | ({LABEL_ZONE: zone} if zone is not None else {})


def metadata(
    cluster: InferenceCluster, name: str, *, zone: str | None = None, annotations: dict[str, str] | None = None
) -> Obj:
    """Metadata of a child: in the resource's namespace and deleted with it."""
    result: Obj = {
        "name": name,
        "namespace": cluster.metadata.namespace,
        "labels": labels(cluster, zone),
        "ownerReferences": [owner(cluster)],
    }
    return result | ({"annotations": dict(annotations)} if annotations else {})


def owner(cluster: InferenceCluster) -> Obj:
    """The reference by which the garbage collector deletes a child after its resource."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": cluster.metadata.name,
        "uid": cluster.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def stamp(obj: Obj) -> Obj:
    """The object with the hash of all that was rendered in its annotations."""
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
    meta = obj["metadata"]
    annotations = {**meta.get("annotations", {}), ANNOTATION_HASH: digest}
    return {**obj, "metadata": {**meta, "annotations": annotations}}
