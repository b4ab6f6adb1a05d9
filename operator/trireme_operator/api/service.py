"""``spec.service``: how the Service over the groups of all zones is reached.

Fields of the Service itself: k8s.io/api v0.36.3, core/v1/types.go (ServiceSpec).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.addresses import NO_RANGE, network
from trireme_operator.api.base import ATOMIC, UNSTORED_DEFAULT, LongText, Model, map_by
from trireme_operator.api.selectors import LABEL_KEY_PATTERN
from trireme_operator.api.violations import Violation


class ServiceType(StrEnum):
    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class ServiceProfile(StrEnum):
    """A load balancer that is set up for answers that stream for minutes, reached from inside the network only."""

    AWS_NLB = "aws-nlb"
    GKE_INTERNAL = "gke-internal"
    AKS_INTERNAL = "aks-internal"


class TrafficDistribution(StrEnum):
    PREFER_SAME_ZONE = "PreferSameZone"
    PREFER_SAME_NODE = "PreferSameNode"
    PREFER_CLOSE = "PreferClose"


class SessionAffinity(StrEnum):
    NONE = "None"
    CLIENT_IP = "ClientIP"


class ExternalTrafficPolicy(StrEnum):
    CLUSTER = "Cluster"
    LOCAL = "Local"


class Annotation(Model):
    """One annotation."""

    name: Annotated[str, Field(min_length=1, max_length=317)]
    """The annotation's key."""

    value: LongText = ""
    """The annotation's value."""


class Service(Model):
    """The Service over the groups of all zones, `NAME-http`. The Services of the single zones, which a gateway sends
    to, are always of type `ClusterIP` and know none of these settings.
    """

    type: ServiceType = ServiceType.CLUSTER_IP
    """How the Service is reached: from inside the cluster, on a port of every node, or through a load balancer of the
    cloud."""

    profile: ServiceProfile | None = None
    """A set of annotations for the load balancer of one cloud: `aws-nlb` (AWS Load Balancer Controller: an internal
    Network Load Balancer with the pods as targets), `gke-internal` (an internal passthrough load balancer of Google
    Kubernetes Engine), `aks-internal` (an internal load balancer of Azure). `annotations` adds to it, or replaces
    single ones. Default: none. With type `LoadBalancer` only, and fixed while the type stays so."""

    annotations: list[Annotation] = Field(default_factory=list, max_length=64, json_schema_extra=map_by("name"))
    """Annotations of the Service, such as those that a cloud's load balancer is set up with."""

    traffic_distribution: TrafficDistribution | None = None
    """Which groups a client inside the cluster is sent to, where one is ready: `PreferSameZone` those of its own zone,
    `PreferSameNode` those on its own node. `PreferClose` is the older name of `PreferSameZone`, for clusters that do
    not know that one. Default: any group of any zone."""

    session_affinity: Annotated[SessionAffinity, Field(json_schema_extra=UNSTORED_DEFAULT)] = SessionAffinity.NONE
    """`ClientIP`: connections of one address go to the same group, as long as it is ready, so that its prefix cache is
    of use. Behind a gateway or proxy all clients have the same address. `None` (the default): any group for each
    connection."""

    session_affinity_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """How long an address is remembered after its last connection, in seconds. Default: 10800. With `sessionAffinity:
    ClientIP` only."""

    external_traffic_policy: ExternalTrafficPolicy | None = None
    """`Local`: a node gives connections from outside to groups on that node only, which keeps the client's address;
    nodes without a group fail the load balancer's health check. `Cluster` (the default): to any group. With type
    `NodePort` or `LoadBalancer` only."""

    load_balancer_class: Annotated[str, Field(min_length=1, max_length=317, pattern=LABEL_KEY_PATTERN)] | None = None
    """Which controller provides the load balancer, where there are several, for example `service.k8s.aws/nlb`. Default:
    that of the cloud. With type `LoadBalancer` only, and fixed while the type stays so."""

    load_balancer_source_ranges: list[Annotated[str, Field(min_length=1, max_length=49)]] = Field(
        default_factory=list, max_length=64, json_schema_extra=ATOMIC
    )
    """Ranges of addresses, for example `10.0.0.0/8`, that the load balancer takes connections from, where it can limit
    them. Default: all. With type `LoadBalancer` only."""


def violations(service: Service) -> Iterator[Violation]:
    """Ranges of addresses that are none, which the schema can't tell."""
    for index, text in enumerate(service.load_balancer_source_ranges):
        if network(text) is None:
            yield Violation(f"spec.service.loadBalancerSourceRanges[{index}]", f"{text!r} {NO_RANGE}")
