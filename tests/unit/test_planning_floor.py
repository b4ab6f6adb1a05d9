"""More groups in the survivors while a zone is out, and none after it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.resources import cluster
from trireme_operator.api import InferenceCluster, WeightReason
from trireme_operator.planning import (
    LiveTraffic,
    Mark,
    Scale,
    Way,
    plan,
    replicas_to_apply,
    with_survivor_floor,
)
from trireme_operator.rendering import autoscaler

ZONES = [
    {"name": "a", "replicas": 2, "weight": 60},
    {"name": "b", "replicas": 3, "weight": 40},
    {"name": "c", "state": "Disabled"},
]
GATEWAY = {"parentRefs": [{"name": "edge"}]}


def wanting(floor: int | None, **spec: Any) -> InferenceCluster:
    failover = {} if floor is None else {"survivorFloor": floor}
    return cluster(zones=ZONES, gateway=GATEWAY, failover=failover, **spec)


def out(way: Way = Way.OUT, reason: WeightReason = WeightReason.SILENT, *, weight: int = 0) -> LiveTraffic:
    return LiveTraffic({"a": 60, "b": weight, "c": 0}, {"b": Mark(way, 1000, reason)})


def floors(of: InferenceCluster, live: LiveTraffic | None) -> dict[str | None, int]:
    return {zone.name: zone.floor for zone in with_survivor_floor(plan(of), of, live).zones}


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("reason", [WeightReason.SILENT, WeightReason.NO_READY_GROUP, WeightReason.DRAINING])
def test_each_survivor_gets_more_groups_until_the_zone_has_its_whole_share(way: Way, reason: WeightReason) -> None:
    assert floors(wanting(2), out(way, reason, weight=7)) == {"a": 4, "b": 0, "c": 0}


@pytest.mark.parametrize(
    ("of", "live"),
    [
        pytest.param(wanting(2), None, id="no route"),
        pytest.param(wanting(2), LiveTraffic({"a": 60, "b": 40}), id="nobody is out"),
        pytest.param(wanting(None), out(), id="not asked for"),
        pytest.param(wanting(2), out(reason=WeightReason.ROLLING_OUT), id="another revision"),
    ],
)
def test_nobody_gets_more_without_need(of: InferenceCluster, live: LiveTraffic | None) -> None:
    assert set(floors(of, live).values()) == {0}


def test_a_fixed_zone_has_the_floors_number_and_its_own_after_it() -> None:
    of = wanting(2)
    (zone, *_) = with_survivor_floor(plan(of), of, out()).zones
    assert replicas_to_apply(zone, Scale(replicas=2)) == 4
    assert replicas_to_apply(zone, Scale(replicas=4)) is None
    assert replicas_to_apply(plan(of).zones[0], Scale(replicas=4)) == 2
    assert zone.base == 2, "the weight goes by what the spec asks for"


def test_an_autoscaler_gets_a_greater_least_and_never_more_than_its_most() -> None:
    request = {"requests": {"cpu": "1"}}
    for floor, least in ((1, 2), (2, 3), (9, 4)):
        of = wanting(floor, autoscaling={"maxReplicas": 4, "metrics": {"cpu": 70}}, resources=request)
        floored = with_survivor_floor(plan(of), of, out())
        assert autoscaler(of, floored, floored.zones[0])["spec"]["minReplicas"] == least
        assert autoscaler(of, plan(of), plan(of).zones[0])["spec"]["minReplicas"] == 1
