"""Balancing in closed loops: it comes to rest, helps a zone that can't serve its share, and goes back.

They are of fluid: a group serves so many requests at a time, each for so many seconds, and the others wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_planning_balancing import INTERVAL, by_queues
from tests.unit.test_planning_traffic import WELL, Facts, Route, planned
from trireme_operator.collector.mean import Mean
from trireme_operator.planning import averaged_seconds
from trireme_operator.planning.balancing import STEP_DOWN, WHOLE


@dataclass
class Plant:
    """Zones of two groups, each of which serves ``most`` requests at a time, each for its zone's ``seconds``.

    ``rate``: requests a second, over all zones.
    """

    route: Route
    most: int
    seconds: dict[str, float]
    rate: float
    queues: dict[str, float] = field(default_factory=dict)
    means: dict[str, Mean] = field(default_factory=dict)
    percents: list[dict[str, int]] = field(default_factory=list)

    def run(self, seconds: int) -> None:
        """Launchers are heard every five seconds, and a reconcile comes with it."""
        for _ in range(0, seconds, 5):
            for name in self.seconds:
                for _ in range(5):
                    self._serve(name)
                mean = self.means.setdefault(name, Mean(averaged_seconds(INTERVAL), self.route.now))
                mean.add(round(self.queues[name] / 2), self.route.now)
            self.route.now += 5
            self.route.see(**cast("Any", self._seen()))
            parts = {} if self.route.live is None else self.route.live.parts
            self.percents.append({name: parts[name].percent if name in parts else WHOLE for name in self.seconds})

    def _serve(self, name: str) -> None:
        assert self.route.live is not None
        shares = self.route.live.weights
        come = self.rate * shares[name] / sum(shares.values())
        now = self.queues.get(name, 0.0)
        self.queues[name] = max(0.0, now + come - min(now, 2 * self.most) / self.seconds[name])

    def _seen(self) -> Facts:
        queues = {name: mean.queue(self.route.now, fresh_seconds=15) for name, mean in self.means.items()}
        return {name: replace(WELL, queue=queue) for name, queue in queues.items()}

    def span(self, name: str) -> int:
        """Between the largest and the smallest part of the last half."""
        late = [percents[name] for percents in self.percents[len(self.percents) // 2 :]]
        return max(late) - min(late)


def plant(*, slow: float, load: float, most: int = 64, **of: int) -> Plant:
    """Zone a is so many times as slow as the others; ``load`` is the part of what all could serve at most."""
    route = Route(by_queues(**of))
    route.see(**dict.fromkeys(of, WELL))
    seconds = dict.fromkeys(of, 10.0) | {"a": 10.0 * slow}
    return Plant(route, most, seconds, load * sum(2 * most / each for each in seconds.values()))


def test_zones_that_are_as_fast_as_each_other_keep_their_weights() -> None:
    for load in (0.1, 0.5, 0.9, 1.1):
        found = plant(slow=1, load=load, a=50, b=50)
        found.run(3600)
        assert len(found.route.writes) == 1, "made, and never written again"


def test_a_zone_that_can_not_serve_its_share_gets_less_until_it_can_and_takes_it_back() -> None:
    found = plant(slow=2, load=0.7, a=60, b=40)
    found.run(7200)
    behind, others = found.queues["a"], found.queues["b"]
    assert found.percents[-1]["a"] < 70
    assert found.span("a") <= STEP_DOWN
    unmoved = plant(slow=2, load=0.7, a=60, b=40)
    unmoved.route.of = planned(a=60, b=40)
    unmoved.run(7200)
    assert behind < 300, "what came before it was enough is worked off"
    assert unmoved.queues["a"] > 10000, "without it the queue grows for ever"
    assert others < 2 * 64, "and nobody waits in the other zone"
    found.rate /= 100
    found.run(3600)
    assert found.percents[-1] == {"a": WHOLE, "b": WHOLE}
    assert found.route.live is not None
    assert found.route.live.weights == {"a": 60, "b": 40}


@given(
    slow=st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0]),
    load=st.floats(0.1, 0.9),
    most=st.sampled_from([16, 64, 256]),
    of=st.sampled_from([{"a": 50, "b": 50}, {"a": 60, "b": 40}, {"a": 60, "b": 40, "c": 40}]),
)
@settings(max_examples=15, deadline=None)
def test_it_comes_to_rest_under_a_load_that_stays(slow: float, load: float, most: int, of: dict[str, int]) -> None:
    found = plant(slow=slow, load=load, most=most, **of)
    found.run(3600)
    moves = found.route.writes[1:]
    assert all(later - earlier >= INTERVAL for earlier, later in pairwise(moves))
    for name in of:
        assert found.span(name) <= 2 * STEP_DOWN, "it does not swing between its bounds"
