"""Rules on ``spec.monitoring``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trireme_operator.api.rule import Rule


def _rules() -> Iterator[Rule]:
    yield Rule(
        where="spec.monitoring",
        rule=(
            "!has(self.podMonitor) || self.podMonitor != 'Never' || !has(self.podMonitorLabels)"
            " || self.podMonitorLabels.size() == 0"
        ),
        message="podMonitorLabels have no effect with podMonitor Never: remove them, or set podMonitor to Auto",
        field=".podMonitorLabels",
    )
    yield Rule(
        where="spec.monitoring.podMonitorLabels[].name",
        rule="!self.startsWith('trireme.dev/') && self != 'app.kubernetes.io/managed-by'",
        message="is set by Trireme: choose another label",
    )


RULES: Final = tuple(_rules())
