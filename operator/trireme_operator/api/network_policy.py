"""``spec.networkPolicy``: who may connect to the pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import ATOMIC, Model
from trireme_operator.api.selectors import Peer
from trireme_operator.api.selectors import violations as peer_violations
from trireme_operator.api.violations import Violation


class NetworkPolicy(Model):
    """Who may connect to the pods: one NetworkPolicy for each zone. The pods of a zone reach each other on every TCP
    port, the peers below reach what is theirs, the operator reaches the launchers, and nobody else gets in. Connections
    from the pods are not limited.
    """

    from_: Annotated[list[Peer], Field(min_length=1, max_length=32, alias="from", json_schema_extra=ATOMIC)]
    """Who may send requests to the engine (port 8000): the pods of the gateway, or clients."""

    monitoring: list[Peer] = Field(default_factory=list, max_length=32, json_schema_extra=ATOMIC)
    """Who may read metrics, for example Prometheus: the launcher's (port 8001) and the engine's (port 8000)."""


def violations(policy: NetworkPolicy | None) -> Iterator[Violation]:
    """What of the peers no schema can see."""
    if policy is not None:
        yield from peer_violations(policy.from_, "spec.networkPolicy.from")
        yield from peer_violations(policy.monitoring, "spec.networkPolicy.monitoring")
