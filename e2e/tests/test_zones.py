"""A whole zone of a busy resource is taken out on purpose: one drill of each kind, all of them are in `make drills`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.api import Api
from e2e.cluster import Cluster
from e2e.drills.run import run
from e2e.drills.size import SHORT
from e2e.drills.target import Engine, Site, site
from e2e.drills.zones import zone_drills

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DRILLS = {drill.name: drill for drill in zone_drills(SHORT)}


@pytest.fixture(scope="module")
def place(cluster: Cluster, kube: Api) -> Iterator[Site]:
    """A namespace of its own: what is done here touches no node, and no other resource."""
    with site(cluster, kube, Engine.DOUBLE, "drills-on-zones") as made:
        yield made


@pytest.mark.parametrize("name", ["zone-drain", "zone-rollout"])
def test_a_zone_goes_and_comes_back_and_no_request_fails(place: Site, name: str) -> None:
    result = run(DRILLS[name], place, Engine.DOUBLE)
    assert result.passed, result.told()
