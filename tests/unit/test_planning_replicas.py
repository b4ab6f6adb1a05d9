"""Who says how many groups a zone has, and the number that we write, if any."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.controller_samples import resource
from trireme_operator.api import WeightReason, parse
from trireme_operator.planning import Regime, Scale, ZoneFacts, ZonePlan, plan, replicas_to_apply, weights

SCALING: dict[str, Any] = {"minReplicas": 2, "maxReplicas": 6, "metrics": {"cpu": 70}}
REQUESTS: dict[str, Any] = {"requests": {"cpu": "1"}}


def zone_of(*, scaled: bool = True, **fields: Any) -> ZonePlan:
    scaling = {"autoscaling": SCALING, "resources": REQUESTS} if scaled else {}
    return plan(parse(resource(zones=[{"name": "a", **fields}], **scaling))).zones[0]


@pytest.mark.parametrize(
    ("zone", "want"),
    [
        pytest.param(zone_of(scaled=False), (Regime.FIXED, 1, None, None, 1), id="one group by default"),
        pytest.param(zone_of(scaled=False, replicas=0), (Regime.FIXED, 0, None, None, 0), id="none"),
        pytest.param(zone_of(), (Regime.AUTOSCALED, 2, 2, 6, 2), id="bounds of all zones, the least to start with"),
        pytest.param(
            zone_of(replicas=4, minReplicas=3, maxReplicas=5),
            (Regime.AUTOSCALED, 4, 3, 5, 3),
            id="bounds and start of the zone's own",
        ),
        pytest.param(zone_of(state="Disabled", replicas=3), (Regime.HELD, 0, None, None, 0), id="held, autoscaled"),
        pytest.param(zone_of(scaled=False, state="Disabled"), (Regime.HELD, 0, None, None, 0), id="held, fixed"),
    ],
)
def test_a_zones_regime_follows_from_the_spec(zone: ZonePlan, want: tuple[Any, ...]) -> None:
    assert (zone.regime, zone.replicas, zone.min_replicas, zone.max_replicas, zone.base) == want


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({}, (Regime.FIXED, 1), id="fixed"),
        pytest.param({"autoscaling": SCALING}, (Regime.AUTOSCALED, 2), id="autoscaled"),
        pytest.param({"autoscaling": SCALING, "replicas": 5}, (Regime.AUTOSCALED, 5), id="autoscaled from a number on"),
    ],
)
def test_a_pools_regime_follows_from_the_spec(spec: dict[str, Any], want: tuple[Regime, int]) -> None:
    pool = plan(parse(resource(zones=None, resources=REQUESTS, **spec))).zones[0]
    assert (pool.regime, pool.replicas) == want


@pytest.mark.parametrize(
    ("zone", "scale", "want"),
    [
        pytest.param(zone_of(scaled=False, replicas=3), Scale(1), 3, id="fixed: the spec's number"),
        pytest.param(zone_of(scaled=False, replicas=3), Scale(5), 3, id="fixed: no other is left"),
        pytest.param(zone_of(scaled=False, replicas=3), Scale(3), None, id="fixed: it stands"),
        pytest.param(
            zone_of(scaled=False, replicas=3), Scale(5, autoscaler=True), None, id="fixed: not beside an autoscaler"
        ),
        pytest.param(zone_of(replicas=4), Scale(1, untouched=True), 4, id="a new set: the number to start with"),
        pytest.param(zone_of(replicas=4), Scale(1), 4, id="the default, and no autoscaler yet: likewise"),
        pytest.param(zone_of(replicas=4), Scale(1, autoscaler=True), None, id="one group by the autoscaler's will"),
        pytest.param(zone_of(replicas=4), Scale(5, autoscaler=True), None, id="any number of the autoscaler's"),
        pytest.param(zone_of(replicas=4), Scale(9, autoscaler=True), None, id="beyond its bounds: it will correct it"),
        pytest.param(zone_of(replicas=4), Scale(5), None, id="autoscaling just switched on: what was fixed stays"),
        pytest.param(zone_of(replicas=4), Scale(0, autoscaler=True), 4, id="an autoscaler leaves 0 alone: we do not"),
        pytest.param(zone_of(replicas=4), Scale(0), 4, id="back from being held"),
        pytest.param(
            zone_of(replicas=4), Scale(1, untouched=True, autoscaler=True, desired=5), 5, id="made again: as before"
        ),
        pytest.param(
            zone_of(replicas=4), Scale(1, untouched=True, autoscaler=True, desired=9), 6, id="made again: within bounds"
        ),
        pytest.param(
            zone_of(replicas=4), Scale(1, untouched=True, autoscaler=True, desired=0), 4, id="made again: nothing known"
        ),
        pytest.param(
            zone_of(minReplicas=1), Scale(1, untouched=True, autoscaler=True, desired=1), None, id="made again: one"
        ),
        pytest.param(zone_of(state="Disabled"), Scale(4), 0, id="held: none"),
        pytest.param(zone_of(state="Disabled"), Scale(4, drained=False), None, id="held: traffic is moved first"),
        pytest.param(zone_of(state="Disabled"), Scale(4, autoscaler=True), None, id="held: the autoscaler goes first"),
        pytest.param(zone_of(state="Disabled"), Scale(0), None, id="held: none is left"),
    ],
)
def test_the_number_that_is_written(zone: ZonePlan, scale: Scale, want: int | None) -> None:
    assert replicas_to_apply(zone, scale) == want


scales = st.builds(
    Scale,
    replicas=st.integers(0, 12),
    untouched=st.booleans(),
    autoscaler=st.booleans(),
    desired=st.none() | st.integers(0, 12),
    drained=st.booleans(),
)


@settings(deadline=None)
@given(scale=scales, start=st.none() | st.integers(2, 6))
def test_an_autoscaled_zone_is_never_given_fewer_groups_than_it_has(scale: Scale, start: int | None) -> None:
    zone = zone_of() if start is None else zone_of(replicas=start)
    written = replicas_to_apply(zone, scale)
    assert written is None or written > scale.replicas
    assert written is None or 2 <= written <= 6


@settings(deadline=None)
@given(scale=scales, fields=st.sampled_from([{}, {"replicas": 3}, {"state": "Disabled"}]), scaled=st.booleans())
def test_what_was_written_is_not_written_again(scale: Scale, fields: dict[str, Any], scaled: bool) -> None:
    zone = zone_of(scaled=scaled, **fields)
    written = replicas_to_apply(zone, scale)
    if written is not None:
        assert replicas_to_apply(zone, Scale(written, autoscaler=scale.autoscaler, desired=scale.desired)) is None


def test_a_disabled_zone_gets_no_traffic_and_an_autoscaled_one_its_whole_weight_from_its_least_on() -> None:
    zones = [{"name": "a", "weight": 60}, {"name": "b", "weight": 40}, {"name": "c", "state": "Disabled"}]
    of = plan(parse(resource(zones=zones, autoscaling=SCALING, resources=REQUESTS)))
    found = weights(of, {name: ZoneFacts(ready=number) for name, number in (("a", 1), ("b", 2), ("c", 3))})
    assert {name: (zone.weight, zone.reason) for name, zone in found.items()} == {
        "a": (30, WeightReason.PARTLY_READY),
        "b": (40, WeightReason.HEALTHY),
        "c": (0, WeightReason.DISABLED),
    }
