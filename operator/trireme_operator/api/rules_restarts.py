"""Rules on ``spec.restarts``."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.restarts import BACKOFF_SECONDS, WINDOW_SECONDS
from trireme_operator.api.rule import Rule

_BACKOFF: Final = f"(has(self.backoffSeconds) ? self.backoffSeconds : {BACKOFF_SECONDS})"
_WINDOW: Final = f"(has(self.windowSeconds) ? self.windowSeconds : {WINDOW_SECONDS})"

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
