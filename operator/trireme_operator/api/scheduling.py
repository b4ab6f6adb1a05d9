"""``spec.scheduling``: which nodes the pods of a group share."""

from __future__ import annotations

from trireme_operator.api.base import Model
from trireme_operator.api.selectors import LabelKey


class Scheduling(Model):
    """Keeps the pods of each group together in one part of the cluster, such as a rack or a domain of NVLink."""

    topology_key: LabelKey
    """A label of the nodes, for example `topology.kubernetes.io/rack`. All pods of a group run on nodes with the same
    value of it, or not at all."""

    exclusive: bool = False
    """Whether a group is alone there: nodes with its value of the label run no pod of any other group, whichever
    LeaderWorkerSet of the cluster that is of."""
