"""The ServiceAccount of the pods: it may do nothing and gets no token.

It also carries the spec that was accepted last, so that a later one which is refused stops no repair. It is the one
object that every resource has and whose metadata no other controller reads: the same annotation on a Service would
wake cloud load balancers, and a revision is never changed.
"""

from __future__ import annotations

import json
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import ANNOTATION_ACCEPTED
from trireme_operator.planning import ClusterPlan
from trireme_operator.rendering.metadata import Obj, metadata, stamp

ACCEPTED_LIMIT_BYTES: Final = 200_000
"""All annotations of an object together have 256 KiB (apimachinery, TotalAnnotationSizeLimitB)."""


def service_account(cluster: InferenceCluster, plan: ClusterPlan) -> Obj:
    """The account that every pod of the resource runs as."""
    accepted = accepted_spec(cluster)
    annotations = {ANNOTATION_ACCEPTED: accepted} if accepted is not None else None
    return stamp(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(cluster, plan.service_account_name, annotations=annotations),
            "automountServiceAccountToken": False,
        }
    )


def accepted_spec(cluster: InferenceCluster) -> str | None:
    """The resource's spec as JSON, its defaults written out because a later version may have others.

    None when no annotation could hold it.
    """
    spec = cluster.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text if len(text.encode()) <= ACCEPTED_LIMIT_BYTES else None
