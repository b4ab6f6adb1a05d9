"""What the autoscalers go by, the reserve for the loss of a zone, and the decisions that are remembered."""

from fractions import Fraction
from typing import Any

import pytest

from tests.rule_cases_signals import GOOD
from tests.unit.controller_samples import resource
from trireme_operator.api import InferenceCluster, parse
from trireme_operator.planning import (
    Decision,
    History,
    LargestZone,
    Scale,
    Targets,
    ZoneLoss,
    decide,
    decisions,
    follows_queue,
    largest_zone,
    plan,
    replicas_to_apply,
    targets,
    zone_loss,
)
from trireme_operator.planning.history import encode
from trireme_operator.planning.history import parse as read_history

REQUESTS = {"requests": {"cpu": "1", "memory": "1Gi"}}


def cluster(zones: list[dict[str, Any]] | None = None, **scaling: Any) -> InferenceCluster:
    found = [{"name": "a"}, {"name": "b"}] if zones is None else zones
    return parse(resource(zones=found, resources=REQUESTS, autoscaling={"maxReplicas": 6, **scaling}))


@pytest.mark.parametrize(
    ("scaling", "want"),
    [
        pytest.param({}, Targets(10_000, None, None), id="the queue, when nothing is said"),
        pytest.param({"metrics": {}}, Targets(10_000, None, None), id="the queue, when no metric is"),
        pytest.param({"metrics": {"cpu": 70}}, Targets(None, 70, None), id="not the queue beside another one"),
        pytest.param({"metrics": {"queueLength": 3, "memory": 80}}, Targets(3000, None, 80), id="both"),
        pytest.param(
            {"customMetrics": GOOD[7]["autoscaling"]["customMetrics"]}, Targets(None, None, None), id="further"
        ),
    ],
)
def test_what_is_kept_of_each_metric(scaling: dict[str, Any], want: Targets) -> None:
    found = cluster(**scaling)
    assert targets(found, plan(found)) == want
    assert follows_queue(found.spec.autoscaling) is (want.queue_milli is not None)  # type: ignore[arg-type]


def test_targets_of_what_is_not_autoscaled_are_a_mistake() -> None:
    fixed = parse(resource())
    with pytest.raises(ValueError, match="is not autoscaled"):
        targets(fixed, plan(fixed))
    assert zone_loss(fixed, plan(fixed), {"zone-a": 1}) is None


@pytest.mark.parametrize(
    ("weights", "queue", "cpu"),
    [
        pytest.param([50, 50], "5", 35, id="two equal zones work at half"),
        pytest.param([50, 30, 20], "5", 35, id="by the largest"),
        pytest.param([1, 1, 1], "6666m", 46, id="rounded down, so that the reserve is never short"),
        pytest.param([1000, 1], "9m", 1, id="never 0"),
        pytest.param([7], "10", 70, id="one zone has no other"),
    ],
)
def test_targets_are_lowered_by_the_share_of_the_largest_zone(weights: list[int], queue: str, cpu: int) -> None:
    zones = [{"name": f"z{index}", "weight": weight} for index, weight in enumerate(weights)]
    zones += [{"name": "off", "weight": 900, "state": "Disabled"}, {"name": "none", "weight": 0}]
    found = cluster(zones, metrics={"queueLength": 10, "cpu": 70, "memory": 80}, surviveZoneLoss=True)
    kept = targets(found, plan(found))
    assert (kept.queue_length, kept.cpu, kept.memory) == (queue, cpu, 80)


@pytest.mark.parametrize(("length", "want"), [(1, "1"), (999, "999"), (1000, "1k"), (1500, "1500"), (1_000_000, "1M")])
def test_a_target_is_spelled_as_the_api_server_gives_it_back(length: int, want: str) -> None:
    found = cluster(metrics={"queueLength": length})
    assert targets(found, plan(found)).queue_length == want


def test_every_zone_can_take_its_part_of_the_largest_ones_load() -> None:
    """With the load L a zone has L * w / target groups, and must carry L * w / (1 - s) at the full target."""
    weights = [7, 5, 4, 1]
    zones = [{"name": f"z{index}", "weight": weight} for index, weight in enumerate(weights)]
    found = cluster(zones, metrics={"queueLength": 10}, surviveZoneLoss=True)
    largest = largest_zone(plan(found))
    assert largest == LargestZone("z0", Fraction(7, 17))
    lowered = targets(found, plan(found)).queue_milli
    for load in (1, 100, 12_345):
        for weight in weights[1:]:
            groups = Fraction(load * weight, sum(weights)) / Fraction(lowered or 0, 1000)
            assert groups * 10 >= Fraction(load * weight, sum(weights)) / (1 - largest.share)


@pytest.mark.parametrize(
    ("groups", "want"),
    [
        pytest.param({"a": 3, "b": 2, "c": 2}, ZoneLoss("a", left=4, needed=4), id="enough"),
        pytest.param({"a": 4, "b": 1, "c": 1}, ZoneLoss("a", left=2, needed=3), id="not enough"),
        pytest.param({"a": 0, "b": 0, "c": 0}, ZoneLoss("a", left=0, needed=0), id="nothing"),
    ],
)
def test_what_the_loss_of_the_largest_zone_leaves(groups: dict[str | None, int], want: ZoneLoss) -> None:
    zones = [{"name": "a", "weight": 50}, {"name": "b", "weight": 30}, {"name": "c", "weight": 20}]
    found = cluster(zones, surviveZoneLoss=True)
    assert zone_loss(found, plan(found), groups) == want
    assert zone_loss(cluster(zones), plan(found), groups) is None


@pytest.mark.parametrize(("floor", "want"), [(0, 2), (1, 2), (4, 4), (6, 6), (9, 6)])
def test_a_floor_raises_the_least_as_far_as_the_most_allows(floor: int, want: int) -> None:
    zone = plan(cluster(minReplicas=2)).zones[0].floored(floor)
    assert zone.least == want
    assert zone.base == 2, "the zone's part of the traffic is another matter"


@pytest.mark.parametrize(("floor", "want"), [(0, 3), (2, 3), (5, 5)])
def test_a_floor_adds_groups_to_a_fixed_zone_and_none_to_one_that_is_held(floor: int, want: int) -> None:
    fixed, held = plan(parse(resource(zones=[{"name": "a", "replicas": 3}, {"name": "b", "state": "Disabled"}]))).zones
    assert replicas_to_apply(fixed.floored(floor), Scale(replicas=1)) == want == fixed.floored(floor).wanted
    assert replicas_to_apply(held.floored(floor), Scale(replicas=1)) == 0
    assert fixed.least is None


def test_decisions_are_kept_in_the_history_and_bounded() -> None:
    history = decide(History(), Decision(100, 1, 4, queue_length=35))
    for time in range(101, 120):
        history = decide(history, Decision(time, 0, time % 5 + 1))
    again = read_history(encode(history))
    assert decisions(again) == decisions(history)
    assert len(decisions(again)) == 8
    assert [each.before for each in decisions(again)[1:]] == [each.after for each in decisions(again)[:-1]]
    assert len(encode(history).encode()) < 600


def test_what_is_known_or_changes_nothing_is_no_decision() -> None:
    history = decide(History(), Decision(100, 1, 4))
    assert decide(history, Decision(100, 1, 4)) is history
    assert decide(history, Decision(99, 1, 2)) is history
    assert decide(history, Decision(101, 1, 4)) is history, "it went on from 4"
    assert decide(History(), Decision(100, 3, 3)) == History()


@pytest.mark.parametrize("section", [None, 7, [1], [{"time": "x"}], [{}], [{"time": 1, "from": None, "to": 1}]])
def test_a_spoilt_section_is_forgotten(section: Any) -> None:
    history = History(others={"decisions": section})
    assert decisions(history) == ()
    assert decisions(decide(history, Decision(5, 1, 2))) == (Decision(5, 1, 2),)
