"""InferencePools, their pickers, and the route that leads to them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.resources import cluster
from trireme_operator.api import InvalidResource
from trireme_operator.planning import plan, weights
from trireme_operator.rendering import Settings, children, inference_pools, zone_service
from trireme_operator.rendering.metadata import Obj

EDGE: Obj = {"parentRefs": [{"name": "edge"}]}


def pools(*, zones: list[Obj] | None, **picker: Any) -> list[Obj]:
    of = cluster(zones=zones, gateway=EDGE | {"endpointPicker": picker})
    return inference_pools(of, plan(of))


def references(found: list[Obj]) -> list[tuple[str, int, str]]:
    refs = [pool["spec"]["endpointPickerRef"] for pool in found]
    return [(ref["name"], ref["port"]["number"], ref["failureMode"]) for ref in refs]


def test_a_pool_selects_what_the_zones_service_selects() -> None:
    of = cluster(zones=[{"name": "a"}, {"name": "b"}], gateway=EDGE | {"endpointPicker": {}})
    planned = plan(of)
    for zone, pool in zip(planned.zones, inference_pools(of, planned), strict=True):
        assert pool["spec"]["selector"] == {"matchLabels": zone_service(of, planned, zone)["spec"]["selector"]}
        assert pool["spec"]["targetPorts"] == [{"number": 8000}]


def test_each_pool_has_the_picker_of_its_zone() -> None:
    found = pools(zones=[{"name": "a"}, {"name": "b", "endpointPickerName": "mine"}])
    assert references(found) == [("llama-a-epp", 9002, "FailOpen"), ("mine", 9002, "FailOpen")]


@pytest.mark.parametrize(("picker", "name"), [({}, "llama-epp"), ({"name": "mine"}, "mine")])
def test_a_resource_without_zones_has_one_pool(picker: Obj, name: str) -> None:
    found = pools(zones=None, port=1, failureMode="FailClose", **picker)
    assert references(found) == [(name, 1, "FailClose")]


def test_two_pools_never_have_the_same_picker() -> None:
    with pytest.raises(InvalidResource, match="zones a and b would both have the endpoint picker llama-a-epp"):
        pools(zones=[{"name": "a"}, {"name": "b", "endpointPickerName": "llama-a-epp"}])


def test_nothing_of_it_unless_it_is_asked_for() -> None:
    of = cluster(zones=[{"name": "a"}], gateway=EDGE)
    assert inference_pools(of, plan(of)) == []
    found = children(of, plan(of), Settings(launcher_image="x"), weights(plan(of), {}))
    assert "InferencePool" not in {obj["kind"] for obj in found}
