"""Where the pods of a group may run beside each other, and when a node may be taken from under them.

Terms that need the group's identity name LeaderWorkerSet's label ``group-key``, which is the same on all pods of a
group and on no other: ``matchLabelKeys`` takes its value from the pod itself. LeaderWorkerSet's own exclusive topology
does the same through an annotation of the whole set; that is not part of the template, so a change of it would reach
running zones past their revision.

Fields: k8s.io/api v0.36.3, core/v1/types.go (PodAffinityTerm).
"""

from __future__ import annotations

from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import LABEL_CLUSTER, LABEL_ROLE, LWS_LABEL_GROUP_KEY, LWS_LABEL_NAME, ROLE_LEADER
from trireme_operator.rendering.metadata import Obj

# The cluster autoscaler empties nodes that it finds too idle, and an idle group took half an hour to load. It alone is
# told: it never replaces a node for maintenance, as Karpenter does, which would be stopped by its own annotation.
# https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md
POD_ANNOTATIONS: Final = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}

_HOSTNAME: Final = "kubernetes.io/hostname"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


def leaders_apart(cluster: InferenceCluster) -> Obj:
    """The leaders' affinity: on different nodes where there is a choice, so that a lost node takes few groups along."""
    others = {"matchLabels": {LABEL_CLUSTER: cluster.metadata.name, LABEL_ROLE: ROLE_LEADER}}
    term = {"topologyKey": _HOSTNAME, "labelSelector": others}
    return {"podAntiAffinity": {_PREFERRED: [{"weight": 50, "podAffinityTerm": term}]}}


def keep_together(spec: Obj, cluster: InferenceCluster) -> None:
    """Add ``spec.scheduling`` to a pod's spec, beside the affinity that ``spec.podTemplate`` may have set."""
    wanted = cluster.spec.scheduling
    if wanted is None:
        return
    any_group = {"matchExpressions": [{"key": LWS_LABEL_NAME, "operator": "Exists"}]}
    term = {"topologyKey": wanted.topology_key, "labelSelector": any_group}
    _add(spec, "podAffinity", {**term, "matchLabelKeys": [LWS_LABEL_GROUP_KEY]})
    if wanted.exclusive:
        _add(spec, "podAntiAffinity", {**term, "mismatchLabelKeys": [LWS_LABEL_GROUP_KEY], "namespaceSelector": {}})


def _add(spec: Obj, kind: str, term: Obj) -> None:
    spec.setdefault("affinity", {}).setdefault(kind, {}).setdefault(_REQUIRED, []).append(term)
