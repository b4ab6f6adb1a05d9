"""Rules on ``spec.preflight``."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule
from trireme_operator.api.rules_parallelism import RANKS

_LEAST: Final = "self.preflight.minBandwidthGBps"


def _without_effect(name: str) -> Rule:
    return Rule(
        where="spec.preflight",
        rule=f"self.mode != 'Off' || !has(self.{name})",
        message=f"{name} has no effect with mode Off: set mode to Warn or Enforce, or remove it",
        field=f".{name}",
    )


RULES: Final = (
    _without_effect("minBandwidthGBps"),
    _without_effect("timeoutSeconds"),
    Rule(
        where="spec",
        rule=f"!has(self.preflight) || !has({_LEAST}) || {RANKS} > 1",
        message=(
            "preflight.minBandwidthGBps has no effect with one rank, which talks to no other: remove it, or raise"
            " parallelism.tensor, pipeline or data"
        ),
        field=".preflight.minBandwidthGBps",
    ),
)
