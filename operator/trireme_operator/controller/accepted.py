"""What a resource was before its spec was refused: bad input stops no repair, and neither does a stricter operator.

The spec that was accepted last stands in an annotation of the pods' ServiceAccount (`rendering.service_account`). While
the live one is refused, everything is brought about from that one.
"""

import json
from dataclasses import dataclass

from trireme_operator.api import InferenceCluster, InvalidResource, parse, read
from trireme_operator.api.labels import ANNOTATION_ACCEPTED
from trireme_operator.controller.scope import Children, is_owned
from trireme_operator.kube import CONTROLLER_REVISION, SERVICE_ACCOUNT, Obj
from trireme_operator.planning import ClusterPlan, names, plan, revision_name


@dataclass(frozen=True)
class Accepted:
    """The resource with the spec that was accepted last, and its plan.

    `judged` says that this operator's own rules take it. If not, an earlier version's did, and only what is stored or
    runs already may be used: nothing is rendered from it.
    """

    cluster: InferenceCluster
    plan: ClusterPlan
    judged: bool


def last_accepted(raw: Obj, children: Children) -> Accepted | None:
    """What was accepted last of the resource; None when nothing usable is remembered.

    Nothing is remembered of a resource that never was accepted, of one whose ServiceAccount is gone, and of a spec
    that no annotation can hold. An account without the annotation was made by an operator that did not write it yet:
    then the live spec itself was accepted, if the revision that it asks for is there.
    """
    metadata = raw["metadata"]
    live = children.get(SERVICE_ACCOUNT, names.service_account_name(metadata["name"]))
    if live is None or not is_owned(live, metadata["uid"]):
        return None
    text = (live["metadata"].get("annotations") or {}).get(ANNOTATION_ACCEPTED)
    try:
        document = {**raw, "spec": json.loads(text)} if text else raw
        cluster = read(document)
        found = Accepted(cluster, plan(cluster), judged=bool(text) and _is_judged(document))
        name = revision_name(cluster)
    except (InvalidResource, ValueError):
        return None
    stored = children.get(CONTROLLER_REVISION, name)
    known = stored is not None and is_owned(stored, metadata["uid"])
    return found if text or known else None


def _is_judged(document: Obj) -> bool:
    try:
        parse(document)
    except InvalidResource:
        return False
    return True
