"""``spec.failover``: what is done when a zone or a node is lost."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import Model


class ReplaceLostPods(StrEnum):
    NEVER = "Never"
    FORCE = "Force"


class Failover(Model):
    """How traffic leaves a zone and comes back to it, and what is done about groups whose node is lost."""

    detect_seconds: Annotated[int, Field(ge=2, le=300)] | None = None
    """Seconds for which the launchers of all leaders of a zone must be silent, while those of another zone answer,
    until the zone counts as lost and gets no traffic. Kubernetes itself needs about 50 s for that. A launcher of each
    zone is asked once a second. A leader that is silent for so long while others of its zone answer is taken out of the
    Services. Default: 3."""

    dwell_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Seconds that a zone which was out of traffic, or a group that was silent or not ready, must be well before it
    gets traffic again; also the shortest time between two steps of `returnSeconds`. It leaves at once. So a zone that
    comes and goes stays out. Default: 10."""

    return_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Seconds in which a zone that was out of traffic takes its share back, in at most eleven steps; and in which one
    that is drained gives it up. 0: at once. Default: 60."""

    survivor_floor: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Groups to add to each other zone while one is lost or drained, until it has its whole share again: to the number
    of groups of a fixed zone, to minReplicas (up to maxReplicas) of one that is scaled. Default: none."""

    replace_lost_pods: ReplaceLostPods | None = None
    """Kubernetes leaves the pods of a node that stopped answering as they are until the node is back or its Node object
    is removed, since they may still run; so does the group wait. `Never`: nothing is done about that; the status says
    NodeLost and the way out. `Force`: a pod that should have ended a minute ago, on a node that does not answer, is
    deleted without waiting for the node, and its group is made again elsewhere. Should the node come back, the pods
    that still run there serve no request and end. It needs the right to delete pods (the chart's
    `rbac.replaceLostPods`). Default: `Never`."""
