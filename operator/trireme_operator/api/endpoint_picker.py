"""``spec.gateway.endpointPicker``: who chooses among the groups of a zone, where the gateway is not to.

Fields of the reference: sigs.k8s.io/gateway-api-inference-extension v1.6.0, api/v1/inferencepool_types.go.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from trireme_operator.api.base import Model

# The name of a Service (k8s.io/apimachinery/pkg/util/validation, IsDNS1035Label).
_SERVICE_NAME_PATTERN: Final = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"

ServiceName = Annotated[str, Field(min_length=1, max_length=63, pattern=_SERVICE_NAME_PATTERN)]


class FailureMode(StrEnum):
    FAIL_OPEN = "FailOpen"
    FAIL_CLOSE = "FailClose"


class EndpointPicker(Model):
    """The endpoint pickers of the resource's InferencePools, one for each pool, which you run."""

    name: ServiceName | None = None
    """For a resource without zones: the Service of the endpoint picker, in the resource's namespace; zones have
    `zones[].endpointPickerName`. Default: the resource's name with `-epp` behind it."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port of the pickers' Services that speaks Envoy's external processing protocol. Default: 9002."""

    failure_mode: FailureMode | None = None
    """What the gateway does with a request when the picker does not answer. `FailOpen` (the default): it chooses a
    group of the pool itself. `FailClose`: it refuses the request."""
