"""What is done to a busy resource, a group or a whole zone of it: the drills under load, with fewer requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.api import Api
from e2e.cluster import Cluster
from e2e.drills.drill import Drill
from e2e.drills.judge import Result
from e2e.drills.load import load_drills
from e2e.drills.run import run
from e2e.drills.size import SHORT
from e2e.drills.target import Engine, Site, site
from e2e.drills.zones import zone_drills

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ZONES = ("zone-drain", "zone-rollout", "zone-cut")
"""One of each kind of drill on a zone; all of them are in `make drills`."""


@pytest.fixture(scope="module")
def place(cluster: Cluster, kube: Api) -> Iterator[Site]:
    with site(cluster, kube, Engine.DOUBLE) as made:
        yield made


def told(result: Result) -> str:
    """All of it, as text: of objects pytest shows a line."""
    return f"{'; '.join(result.why)}\n{result.measured}"


@pytest.mark.parametrize("drill", [pytest.param(drill, id=drill.name) for drill in load_drills(SHORT)])
def test_no_request_fails(place: Site, drill: Drill) -> None:
    result = run(drill, place, Engine.DOUBLE)
    assert result.passed, told(result)


@pytest.mark.parametrize(
    "drill", [pytest.param(drill, id=drill.name) for drill in zone_drills(SHORT) if drill.name in ZONES]
)
def test_a_zone_goes_and_comes_back(place: Site, drill: Drill) -> None:
    """Nothing fails when it is taken out on purpose; when it is cut off, what is sent to it until that is noticed."""
    result = run(drill, place, Engine.DOUBLE)
    assert result.passed, told(result)
