"""``spec.gateway``: the way in from outside, by the Gateway API.

Fields of the route itself: sigs.k8s.io/gateway-api v1.6.1, apis/v1/httproute_types.go.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import (
    ATOMIC,
    DNS_LABEL_PATTERN,
    DNS_SUBDOMAIN_PATTERN,
    LongText,
    Model,
    ShortText,
    map_by,
)
from trireme_operator.api.endpoint_picker import EndpointPicker


class ParentReference(Model):
    """A Gateway, or one of its listeners."""

    name: Annotated[ShortText, Field(min_length=1, pattern=DNS_SUBDOMAIN_PATTERN)]
    """The Gateway's name."""

    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL_PATTERN)] | None = None
    """The Gateway's namespace. Default: the namespace of the resource."""

    section_name: Annotated[ShortText, Field(min_length=1, pattern=DNS_SUBDOMAIN_PATTERN)] | None = None
    """The listener's name. Default: all listeners that take the route."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The listener's port. Default: all ports."""


class RequestHeader(Model):
    """One header."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """The header's name."""

    value: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[ -~]+$")]
    """Its value: printable ASCII."""


class Timeouts(Model):
    """Limits of the gateway on one request, in seconds."""

    request_seconds: Annotated[int, Field(ge=0, le=99_999)] | None = None
    """From the first byte of the request to the last one of the answer, tries that failed included; a stream that takes
    longer is cut. 0 (the default): no limit."""

    backend_request_seconds: Annotated[int, Field(ge=0, le=99_999)] | None = None
    """The same for a single try. Default: no limit of its own."""


class GatewayPolicy(StrEnum):
    OFF = "Off"
    CAREFUL = "Careful"
    AGGRESSIVE_RETRY = "AggressiveRetry"


class AcrossZones(StrEnum):
    READY_GROUPS = "ReadyGroups"
    QUEUE_LENGTH = "QueueLength"


class Balancing(Model):
    """How the requests are spread over the zones."""

    across_zones: AcrossZones
    """`ReadyGroups`: a zone's share is the spec's weight by its ready groups, and nothing else. `QueueLength`: a zone
    whose ready groups have more requests (running and waiting) than those of the other zones gets less of its share,
    down to half of it, in steps; and takes it back when its queue is as short as theirs. Weights must be 10 or more
    then, or 0. Needs the launchers to be reached by the operator."""

    interval_seconds: Annotated[int, Field(ge=5, le=3600)] | None = None
    """With `QueueLength`: seconds between two steps, of at most 10 percent of the share down and 5 up. Queues are
    averaged over twice as long. Choose more than most answers take. Default: 30."""


class Gateway(Model):
    """The way in from outside: one HTTPRoute of the Gateway API with one weighted backend a zone."""

    parent_refs: Annotated[list[ParentReference], Field(min_length=1, max_length=16, json_schema_extra=ATOMIC)]
    """The Gateways that carry the route."""

    hostnames: list[Annotated[ShortText, Field(min_length=1)]] = Field(
        default_factory=list, max_length=16, json_schema_extra=ATOMIC
    )
    """Host names that the route answers to; a leading `*.` matches one or more labels. Default: those of the
    listener."""

    paths: list[Annotated[LongText, Field(min_length=1)]] = Field(
        default=["/v1"], min_length=1, max_length=16, json_schema_extra=ATOMIC
    )
    """Path prefixes that the route takes."""

    request_headers: Annotated[list[RequestHeader], Field(max_length=16, json_schema_extra=map_by("name"))] | None = (
        None
    )
    """Headers that each request gets on its way to an engine, in every zone; one of the same name is replaced. The name
    counts as it is written."""

    timeouts: Timeouts | None = None
    """How long the gateway waits. Absent: for as long as an answer takes."""

    balancing: Balancing | None = None
    """How the requests are spread over the zones. Absent: by ready groups alone. Among the groups of a zone the gateway
    chooses, for each request."""

    policy: GatewayPolicy | None = None
    """What Envoy Gateway does about groups that do not answer, by a BackendTrafficPolicy; other gateways have none, and
    where that API is not installed nothing is done. `Careful`: connections are given up after half a second, each
    group's launcher is asked each second whether it is ready, groups that fail are left alone for some seconds, and
    what never reached an engine is sent to another one. `AggressiveRetry`: so is a request whose connection broke, or
    whose group answered 502, 503 or 504, before the answer began: a prompt may run twice. `Off` (the default): nothing.
    Choose it when the resource is made: on a route that is there a change acts after 15 seconds, in which new routes of
    the same Gateway fail. Where a NetworkPolicy guards the pods, `networkPolicy.monitoring` must name the gateway."""

    endpoint_picker: EndpointPicker | None = None
    """Leave the choice among the groups of a zone to endpoint pickers that you run (Gateway API Inference Extension):
    the route then leads to one InferencePool a zone instead of to the zones' Services, with the same weights. Absent:
    the gateway chooses. While the InferencePool API is not installed, the route leads to the Services."""
