"""Which endpoint picker chooses for which InferencePool: each pool has one of its own.

A picker is told one pool's name, or one selector (github.com/llm-d/llm-d-router v0.10.0, pkg/epp/server/options.go,
--pool-name and --endpoint-selector), so one that stood for two zones would mix up their groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trireme_operator.api import InferenceCluster, InvalidResource, Violation
from trireme_operator.api.endpoint_picker import FailureMode
from trireme_operator.planning.names import picker_name

_PORT: Final = 9002


@dataclass(frozen=True)
class Picker:
    """The picker of one zone's pool: its Service and what the gateway does without it."""

    service: str
    port: int
    failure_mode: FailureMode


def pickers(cluster: InferenceCluster, pools: Mapping[str | None, str]) -> dict[str | None, Picker]:
    """By the names of zones, of whose pools `pools` has the names; empty where the gateway is to choose.

    Raises:
        InvalidResource: two pools would have the same picker.

    """
    wanted = cluster.spec.gateway.endpoint_picker if cluster.spec.gateway is not None else None
    if wanted is None:
        return {}
    named = {zone.name: zone.endpoint_picker_name for zone in cluster.spec.zones or ()}
    found: dict[str | None, Picker] = {}
    for zone, pool in pools.items():
        service = (wanted.name if zone is None else named[zone]) or picker_name(pool)
        _check_unused(service, zone, found)
        # Availability first: a picker that is away is to cost its choice, and no request.
        mode = wanted.failure_mode or FailureMode.FAIL_OPEN
        found[zone] = Picker(service, wanted.port or _PORT, mode)
    return found


def _check_unused(service: str, zone: str | None, found: dict[str | None, Picker]) -> None:
    other = next((name for name, picker in found.items() if picker.service == service), None)
    if other is not None:
        text = (
            f"zones {other} and {zone} would both have the endpoint picker {service}, and a picker serves one pool:"
            " give one of them the name of another Service in endpointPickerName"
        )
        raise InvalidResource(Violation("spec.zones", text))
