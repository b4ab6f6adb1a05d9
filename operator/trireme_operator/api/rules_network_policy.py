"""Rules on ``spec.networkPolicy``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trireme_operator.api.rule import Rule


def _rules(peer: str) -> Iterator[Rule]:
    yield Rule(
        where=peer,
        rule="has(self.podSelector) || has(self.namespaceSelector) || has(self.ipBlock)",
        message=(
            "must have podSelector, namespaceSelector or ipBlock; namespaceSelector: {} is every pod of the cluster"
        ),
    )
    yield Rule(
        where=peer,
        rule="!has(self.ipBlock) || !(has(self.podSelector) || has(self.namespaceSelector))",
        message="ipBlock can not stand beside podSelector or namespaceSelector: make two items of it",
        field=".ipBlock",
    )
    for selector in ("podSelector", "namespaceSelector"):
        yield Rule(
            where=f"{peer}.{selector}.matchExpressions[]",
            rule=(
                "(self.operator == 'In' || self.operator == 'NotIn') == (has(self.values) && self.values.size() > 0)"
            ),
            message="the operators In and NotIn need values, Exists and DoesNotExist take none",
            field=".values",
        )


RULES: Final = (*_rules("spec.networkPolicy.from[]"), *_rules("spec.networkPolicy.monitoring[]"))
