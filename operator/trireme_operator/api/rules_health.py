"""Rules on ``spec.health``."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.health import MEMBER_LOST_SECONDS, MEMBER_SILENT_SECONDS
from trireme_operator.api.rule import Rule

_SILENT: Final = f"(has(self.memberSilentSeconds) ? self.memberSilentSeconds : {MEMBER_SILENT_SECONDS})"
_LOST: Final = f"(has(self.memberLostSeconds) ? self.memberLostSeconds : {MEMBER_LOST_SECONDS})"

RULES: Final = (
    Rule(
        where="spec.health",
        rule=f"{_LOST} > {_SILENT}",
        message=(
            f"memberLostSeconds (default {MEMBER_LOST_SECONDS}) must be more than memberSilentSeconds (default"
            f" {MEMBER_SILENT_SECONDS}): a group would be ended before it is out of rotation;"
            " raise memberLostSeconds or lower memberSilentSeconds"
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
