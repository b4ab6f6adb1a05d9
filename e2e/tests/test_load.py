"""What is done to a group of a busy resource: the drills under load, with fewer requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.api import Api
from e2e.cluster import Cluster
from e2e.drills.drill import Drill
from e2e.drills.load import load_drills
from e2e.drills.run import run
from e2e.drills.size import SHORT
from e2e.drills.target import Engine, Site, site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def place(cluster: Cluster, kube: Api) -> Iterator[Site]:
    with site(cluster, kube, Engine.DOUBLE) as made:
        yield made


@pytest.mark.parametrize("drill", [pytest.param(drill, id=drill.name) for drill in load_drills(SHORT)])
def test_no_request_fails(place: Site, drill: Drill) -> None:
    result = run(drill, place, Engine.DOUBLE)
    assert result.passed, result.told()
