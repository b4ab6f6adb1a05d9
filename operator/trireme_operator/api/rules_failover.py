"""Rules on ``spec.failover``: between zones there is nothing to move without a second one, or without a route.

`detectSeconds` and `dwellSeconds` act without them too: on a silent leader among others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trireme_operator.api.rule import Rule

_ZONES: Final = "has(self.zones) && self.zones.size() > 1"


def _rules() -> Iterator[Rule]:
    for field in ("returnSeconds", "survivorFloor"):
        yield Rule(
            where="spec",
            rule=f"!has(self.failover) || !has(self.failover.{field}) || {_ZONES} && has(self.gateway)",
            message=(
                f"failover.{field} has no effect without two zones and a gateway, whose route moves the traffic: add"
                f" them, or remove failover.{field}"
            ),
            field=f".failover.{field}",
        )


RULES: Final = tuple(_rules())
