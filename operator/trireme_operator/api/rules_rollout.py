"""Rules on ``spec.rollout`` and on the state of zones."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule

_DRAINING: Final = "(has(z.state) && z.state == 'Draining')"
_ACTIVE: Final = "((!has(z.state) || z.state == 'Active') && z.weight > 0)"

RULES: Final = (
    Rule(
        where="spec",
        rule="!has(self.rollout) || !has(self.rollout.strategy) || has(self.zones)",
        message=(
            "rollout.strategy is about zones, and the resource has none: set spec.zones or remove rollout.strategy; the"
            " groups of a pool are replaced one after the other"
        ),
        field=".rollout.strategy",
    ),
    Rule(
        where="spec.zones",
        rule=f"!self.exists(z, {_DRAINING}) || self.exists(z, {_ACTIVE})",
        message=(
            "a zone is Draining and no other is Active with a weight, so nobody could take its traffic: leave one zone"
            " Active, or set the state to Disabled to end its groups all the same"
        ),
    ),
)
