"""A zone is cut off from a busy resource: nothing fails but what is sent there until that is noticed."""

from __future__ import annotations

import pytest

from e2e.api import Api
from e2e.cluster import Cluster
from e2e.drills.run import run
from e2e.drills.size import SHORT
from e2e.drills.target import Engine, site
from e2e.drills.zones import zone_drills

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_zone_is_cut_off_and_comes_back(cluster: Cluster, kube: Api) -> None:
    (drill,) = (drill for drill in zone_drills(SHORT) if drill.name == "zone-cut")
    with site(cluster, kube, Engine.DOUBLE, "drills-cut") as place:
        result = run(drill, place, Engine.DOUBLE)
    assert result.passed, result.told()
