"""The zones of the resource and how many groups each has."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import LABEL_VALUE_PATTERN, UNSTORED_DEFAULT, Model
from trireme_operator.api.endpoint_picker import ServiceName


class ZoneState(StrEnum):
    ACTIVE = "Active"
    DRAINING = "Draining"
    DISABLED = "Disabled"


class Zone(Model):
    """One zone and the groups in it."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL_VALUE_PATTERN)]
    """The value of the nodes' label `topology.kubernetes.io/zone`. All pods of the zone's groups run on such nodes."""

    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Groups in the zone. Each is one whole copy of the model. Default: 1. With `autoscaling`: the number that the zone
    starts with, and comes back with after it was drained or disabled; between minReplicas (the default) and
    maxReplicas."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Fewest groups that the autoscaler leaves the zone. Default: `autoscaling.minReplicas`."""

    max_replicas: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most groups that the autoscaler gives the zone. Default: `autoscaling.maxReplicas`."""

    weight: Annotated[int, Field(ge=0, le=1000)] = 100
    """The zone's share of the traffic, relative to the other zones. A zone that has only some of its groups ready gets
    the same part of its share; one that has none gets nothing while another zone has one. With `autoscaling` a zone
    gets its whole share from minReplicas ready groups on. 0: no traffic."""

    state: Annotated[ZoneState, Field(json_schema_extra=UNSTORED_DEFAULT)] = ZoneState.ACTIVE
    """`Active` (the default): the zone has its groups. `Draining`: while another zone can take them, its requests move
    there, those that run are waited for, then its groups are ended. `Disabled`: it gets no request from now on, whether
    another zone can take them or not, and its groups are ended; what runs is finished first, for as long as a pod's
    grace period. Nothing else of the zone changes, and `Active` brings the groups back. `trireme drain` asks for the
    same without an edit; of two wishes the stricter counts."""

    endpoint_picker_name: ServiceName | None = None
    """With `gateway.endpointPicker`: the Service of the endpoint picker for the zone's InferencePool, in the resource's
    namespace; each pool has one of its own. Default: the pool's name, which is that of the zone's LeaderWorkerSet, with
    `-epp` behind it."""
