"""Rules on ``spec.gateway.endpointPicker``: a picker knows one pool, so each pool has one of its own."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule

RULES: Final = (
    Rule(
        where="spec",
        rule=(
            "!has(self.zones) || !self.zones.exists(z, has(z.endpointPickerName)) ||"
            " has(self.gateway) && has(self.gateway.endpointPicker)"
        ),
        message=(
            "zones[].endpointPickerName has no effect without gateway.endpointPicker: add gateway.endpointPicker: {},"
            " or remove the names"
        ),
        field=".zones",
    ),
    Rule(
        where="spec",
        rule=(
            "!has(self.zones) || !has(self.gateway) || !has(self.gateway.endpointPicker) ||"
            " !has(self.gateway.endpointPicker.name)"
        ),
        message=(
            "gateway.endpointPicker.name is for a resource without zones, and a picker serves one pool: give each zone"
            " its zones[].endpointPickerName, or remove the name"
        ),
        field=".gateway.endpointPicker.name",
    ),
    Rule(
        where="spec.zones",
        rule=(
            "self.all(z, !has(z.endpointPickerName) || self.exists_one(other, has(other.endpointPickerName) &&"
            " other.endpointPickerName == z.endpointPickerName))"
        ),
        message=(
            "two zones have the same endpointPickerName, and a picker serves one pool: it would mix up their groups;"
            " run one for each zone and name that"
        ),
    ),
)
