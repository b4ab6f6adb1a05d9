"""A drill on balancing by queues: a zone that gets slow gets less, and its share back when it is fast again."""

from __future__ import annotations

import re
import time

from e2e import api
from e2e.drills import timeline
from e2e.drills.client import Shape
from e2e.drills.drill import Drill, Scene
from e2e.drills.outcomes import rebalanced
from e2e.drills.size import Size
from e2e.drills.target import Engine, Target
from e2e.drills.timeline import label
from e2e.drills.zone_scene import QUIET, ZONE

_INTERVAL_SECONDS = 5
_STEP_SECONDS, _SLOW_STEP_SECONDS = 0.1, 0.6
"""The double's time for a token of all that runs: four of them are an answer."""
_MUCH_LESS = 80
"""Percent of its share that the slow zone has at most when it was slow for long enough."""
_MOVED_SECONDS, _BACK_SECONDS = 120.0, 240.0
_COUNTED_SECONDS = 15.0
_OFF_BY = 0.05
"""By how much a zone's part of what was answered may differ from its part of the weights."""
_ANSWERED = re.compile(r"^vllm:request_success_total\{[^}]*\} (\S+)", re.MULTILINE)


def _ask_for_balancing(target: Target) -> None:
    target.set_spec(gateway={"balancing": {"acrossZones": "QueueLength", "intervalSeconds": _INTERVAL_SECONDS}})
    target.wait_until_settled()


def _slow_down(scene: Scene) -> float:
    at = time.monotonic()
    _set_step(scene, _SLOW_STEP_SECONDS)
    return at


def _until_it_has_less(scene: Scene) -> None:
    """Then what is answered is counted, and the zone is fast again. Raises RuntimeError when that is not as weighed."""
    target = scene.target

    def part() -> float:
        shares = _shares(target)
        return 100 * shares[ZONE] / max(shares.values())

    api.wait_until(
        lambda: part() <= _MUCH_LESS, timeout_seconds=_MOVED_SECONDS, what=f"{ZONE} to have {_MUCH_LESS} % of its share"
    )
    _compare(target)
    _speed_up(scene)


def _compare(target: Target) -> None:
    """Whether the gateway gives each zone what its weight says, on average over the weights before and after."""
    before, first = _parts(_shares(target)), _answered(target)
    time.sleep(_COUNTED_SECONDS)
    after, last = _parts(_shares(target)), _answered(target)
    got = _parts({zone: last[zone] - first[zone] for zone in last})
    for zone, part in got.items():
        low, high = sorted((before[zone], after[zone]))
        if not low - _OFF_BY <= part <= high + _OFF_BY:
            raise RuntimeError(f"{zone} answered {part:.0%} of the requests, by its weights {low:.0%} to {high:.0%}")


def _parts(numbers: dict[str, float]) -> dict[str, float]:
    whole = sum(numbers.values())
    return {zone: number / whole for zone, number in numbers.items()}


def _shares(target: Target) -> dict[str, float]:
    """The weight of each zone."""
    route = target.kube.get(target.route_path)
    return {zone: float(timeline.weights(route, zone)[0]) for zone in target.layout.groups}


def _answered(target: Target) -> dict[str, float]:
    """Requests that each zone's engines have answered, as they say themselves."""
    found = dict.fromkeys(target.layout.groups, 0.0)
    for pod in target.leaders():
        text = target.kube.text("GET", f"{target.engine_path(pod)}/metrics")
        found[label(pod, "trireme.dev/zone")] += sum(map(float, _ANSWERED.findall(text)))
    return found


def _speed_up(scene: Scene) -> None:
    _set_step(scene, _STEP_SECONDS)


def _set_step(scene: Scene, seconds: float) -> None:
    for pod in scene.target.leaders():
        if label(pod, "trireme.dev/zone") == ZONE:
            scene.target.kube.text("POST", f"{scene.target.engine_path(pod)}/double/slow?step_seconds={seconds}")


def _undo(scene: Scene) -> None:
    _speed_up(scene)
    scene.target.set_spec(gateway={"balancing": None})


def balancing_drills(size: Size) -> tuple[Drill, ...]:
    """None in a short run, which is shorter than a few intervals, nor with a real model, which can't be slowed."""
    if size.short or size.engine is not Engine.DOUBLE:
        return ()
    return (
        Drill(
            "zone-slow",
            f"with gateway.balancing, a zone whose engine takes {_SLOW_STEP_SECONDS / _STEP_SECONDS:.0f} times as long "
            "for a token, and as long as before",
            _slow_down,
            rebalanced,
            layout=size.zones,
            broken=(ZONE, 0),
            engines=frozenset({size.engine}),
            prepare=_ask_for_balancing,
            follow=_until_it_has_less,
            undo=_undo,
            # Without long streams: what is answered in a few seconds is to show the shares.
            shape=Shape(size.shape.per_second, stream=True),
            before=size.before,
            limits=QUIET | {"recovered_seconds": _MOVED_SECONDS + _BACK_SECONDS, "zones_out": 0, "returns": 0},
            weight_moves=False,
        ),
    )
