"""Rules on ``spec.health``; absent fields have the defaults of ``planning.health``."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule

_SILENT: Final = "(has(self.memberSilentSeconds) ? self.memberSilentSeconds : 3)"
_LOST: Final = "(has(self.memberLostSeconds) ? self.memberLostSeconds : 30)"

RULES: Final = (
    Rule(
        where="spec.health",
        rule=f"{_LOST} > {_SILENT}",
        message=(
            "memberLostSeconds (default 30) must be more than memberSilentSeconds (default 3): a group would be ended"
            " before it is out of rotation; raise memberLostSeconds or lower memberSilentSeconds"
        ),
        field=".memberLostSeconds",
    ),
    Rule(
        where="spec.health.canary",
        rule="!has(self.maxTokens) || !has(self.mode) || self.mode != 'Disabled'",
        message="maxTokens has no effect while mode is Disabled: remove it, or set mode to Enabled",
        field=".maxTokens",
    ),
)
