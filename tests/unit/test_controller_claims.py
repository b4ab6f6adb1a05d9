"""Two resources that want the same requests: the younger one says so, and heals when the other one goes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.controller_samples import resource
from tests.unit.reconcile_world import World
from trireme_operator.api import InferenceCluster, parse
from trireme_operator.controller.claims import NOT_YET, Claims
from trireme_operator.controller.queue import Key
from trireme_operator.kube import HTTP_ROUTE

EDGE = {"name": "edge", "namespace": "infra"}
OLD, YOUNG = Key("genai", "old"), Key("team", "young")


def wanting(**gateway: Any) -> InferenceCluster:
    return parse(resource(gateway={"parentRefs": [EDGE], "hostnames": ["llm.example.com"]} | gateway))


class Both:
    """An old resource that wants llm.example.com/v1 of the edge, and a young one."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.claims = Claims(self.woken.append)
        self.claims.note(OLD, wanting(), "2026-01-01T00:00:00Z")

    def rival(self, cluster: InferenceCluster, made: str = "2026-01-02T00:00:00Z") -> Key | None:
        return self.claims.note(YOUNG, cluster, made)


@pytest.mark.parametrize(
    "gateway",
    [
        pytest.param({}, id="the same"),
        pytest.param({"hostnames": ["other.example.com", "llm.example.com"]}, id="one of two names"),
        pytest.param({"paths": ["/x", "/v1"]}, id="one of two paths"),
        pytest.param({"parentRefs": [EDGE | {"sectionName": "https"}]}, id="one listener of those that the other has"),
    ],
)
def test_the_younger_of_two_is_told_of_the_older(gateway: dict[str, Any]) -> None:
    both = Both()
    assert both.rival(wanting(**gateway)) == OLD
    assert both.rival(wanting(**gateway), NOT_YET) == OLD
    assert both.claims.note(OLD, wanting(), "2026-01-01T00:00:00Z") is None


@pytest.mark.parametrize(
    "gateway",
    [
        pytest.param({"hostnames": ["other.example.com"]}, id="another name"),
        pytest.param({"hostnames": []}, id="every name of the listener: the other one is more special"),
        pytest.param({"paths": ["/v2"]}, id="another path"),
        pytest.param({"parentRefs": [EDGE | {"name": "inner"}]}, id="another gateway"),
        pytest.param({"parentRefs": [{"name": "edge"}]}, id="a gateway of another namespace"),
    ],
)
def test_others_are_no_rivals(gateway: dict[str, Any]) -> None:
    both = Both()
    assert both.rival(wanting(**gateway)) is None
    assert both.woken == []


def test_two_listeners_are_two_places() -> None:
    both = Both()
    both.claims.note(OLD, wanting(parentRefs=[EDGE | {"sectionName": "http"}]), "2026-01-01T00:00:00Z")
    assert both.rival(wanting(parentRefs=[EDGE | {"sectionName": "https"}])) is None
    assert both.rival(wanting(parentRefs=[EDGE | {"sectionName": "http"}])) == OLD


def test_the_older_ones_end_wakes_the_younger_one_and_rest_wakes_nobody() -> None:
    both = Both()
    both.rival(wanting())
    both.rival(wanting())
    assert both.woken == [], "the older one has all requests, as before"
    both.claims.forget(OLD)
    assert both.woken == [YOUNG]
    assert both.rival(wanting()) is None


def test_an_older_one_that_is_seen_later_wakes_the_younger_one() -> None:
    both = Both()
    both.claims.forget(OLD)
    both.rival(wanting())
    both.claims.note(OLD, wanting(), "2026-01-01T00:00:00Z")
    assert both.woken == [YOUNG]


def test_a_thousand_that_come_one_after_the_other_wake_nobody() -> None:
    woken: list[Key] = []
    claims = Claims(woken.append)
    for number in range(1000):
        claims.note(Key("team", f"llm-{number}"), wanting(), f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z")
    assert woken == []


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "1", "2", "3", NOT_YET])), max_size=30))
def test_whoever_is_woken_hears_of_the_oldest_and_nobody_else_has_to(changes: list[tuple[int, str]]) -> None:
    woken: list[Key] = []
    claims = Claims(woken.append)
    made: dict[Key, str] = {}
    told: dict[Key, Key | None] = {}
    for number, age in changes:
        key = Key("team", f"llm-{number}")
        if age:
            made[key] = age
            told[key] = claims.note(key, wanting(), age)
        else:
            claims.forget(key)
            made.pop(key, None)
            told.pop(key, None)
        while woken:
            other = woken.pop()
            told[other] = claims.note(other, wanting(), made[other])
        oldest = min(made, key=lambda each: (made[each], each), default=None)
        assert told == {each: None if each == oldest else oldest for each in made}


async def test_a_conflict_is_in_the_condition_with_the_way_out(world: World) -> None:
    await world.reconcile()
    world.everything_ready()
    world.accept_route()
    world.kube.one(HTTP_ROUTE, "llm")["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    world.before = lambda claims: claims.note(OLD, wanting(), "2026-01-01T00:00:00Z")
    await world.reconcile()
    said = world.condition("RoutesProgrammed")
    assert (said["status"], said["reason"]) == ("False", "HostnameConflict")
    assert "genai/old" in said["message"]
    assert "sectionName" in said["message"]
    world.before = None
    await world.reconcile()
    assert world.condition("RoutesProgrammed")["status"] == "True"
