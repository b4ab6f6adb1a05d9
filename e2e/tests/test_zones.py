"""A zone is drained, given a new version, and cut off, while requests flow: drills on zones, in short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.api import Api
from e2e.cluster import Cluster
from e2e.drills.drill import Drill
from e2e.drills.run import run
from e2e.drills.target import Engine, Site, site
from e2e.drills.zones import zone_drills

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CHOSEN = ("zone-drain", "zone-rollout", "zone-cut")
"""Of each kind the one that shows most; all of them are in `make drills`."""


@pytest.fixture(scope="module")
def place(cluster: Cluster, kube: Api) -> Iterator[Site]:
    with site(cluster, kube, Engine.DOUBLE) as made:
        yield made


@pytest.mark.parametrize(
    "drill", [pytest.param(drill, id=drill.name) for drill in zone_drills(short=True) if drill.name in CHOSEN]
)
def test_a_zone_goes_and_comes_back(place: Site, drill: Drill) -> None:
    result = run(drill, place, Engine.DOUBLE)
    assert result.passed, (result.why, result.measured)
