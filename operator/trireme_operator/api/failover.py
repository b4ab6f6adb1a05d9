"""``spec.failover``: what is done about groups whose node is lost."""

from __future__ import annotations

from enum import StrEnum

from trireme_operator.api.base import Model


class ReplaceLostPods(StrEnum):
    NEVER = "Never"
    FORCE = "Force"


class Failover(Model):
    """What is done about groups whose node is lost."""

    replace_lost_pods: ReplaceLostPods | None = None
    """Kubernetes leaves the pods of a node that stopped answering as they are until the node is back or its Node object
    is removed, since they may still run; so does the group wait. `Never`: nothing is done about that; the status says
    NodeLost and the way out. `Force`: a pod that should have ended a minute ago, on a node that does not answer, is
    deleted without waiting for the node, and its group is made again elsewhere. Should the node come back, the pods
    that still run there serve no request and end. It needs the right to delete pods (the chart's
    `rbac.replaceLostPods`). Default: `Never`."""
