"""What a resource was before its spec was refused: bad input stops no repair.

The spec that was accepted last stands in an annotation of the pods' ServiceAccount (`rendering.service_account`). While
the live one is refused, everything is brought about from that one.
"""

import json

from trireme_operator.api import InferenceCluster, InvalidResource, parse
from trireme_operator.api.labels import ANNOTATION_ACCEPTED
from trireme_operator.controller.scope import is_owned
from trireme_operator.kube import SERVICE_ACCOUNT, ApiMissing, KubeApi, NotFound, Obj
from trireme_operator.planning import ClusterPlan, names, plan


async def last_accepted(api: KubeApi, raw: Obj) -> tuple[InferenceCluster, ClusterPlan] | None:
    """The resource with the spec that was accepted last, and its plan; None when nothing usable is remembered.

    Nothing is remembered of a resource that never was accepted, of one whose ServiceAccount is gone, and of a spec
    that no annotation can hold.
    """
    metadata = raw["metadata"]
    try:
        live = await api.get(SERVICE_ACCOUNT, metadata["namespace"], names.service_account_name(metadata["name"]))
    except (NotFound, ApiMissing):
        return None
    text = (live["metadata"].get("annotations") or {}).get(ANNOTATION_ACCEPTED)
    if not text or not is_owned(live, metadata["uid"]):
        return None
    try:
        cluster = parse({**raw, "spec": json.loads(text)})
        return cluster, plan(cluster)
    except (InvalidResource, ValueError):
        return None
