"""Rules on ``spec.restarts``; absent fields have the defaults of ``planning.restarts``."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule

_BACKOFF: Final = "(has(self.backoffSeconds) ? self.backoffSeconds : 10)"
_WINDOW: Final = "(has(self.windowSeconds) ? self.windowSeconds : 1800)"

RULES: Final = (
    Rule(
        where="spec.restarts",
        rule=f"{_BACKOFF} < {_WINDOW}",
        message=(
            "backoffSeconds must be less than windowSeconds: a failure is forgotten after the window, and so would be"
            " the delay; raise windowSeconds or lower backoffSeconds"
        ),
        field=".backoffSeconds",
    ),
)
