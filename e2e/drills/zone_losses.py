"""Drills on a zone that is lost: cut off, without power, or unready, while the other zones answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from e2e import api, processes
from e2e.drills import nodes, operators
from e2e.drills.drill import Drill, Scene
from e2e.drills.outcomes import recreated_and_settled, returned, settled
from e2e.drills.target import NAMESPACE, Target
from e2e.drills.timeline import ROLE, label
from e2e.drills.zone_scene import DWELL_SECONDS, NODE, QUIET, ROUND_SECONDS, SHORT_DWELL_SECONDS, ZONE

_CUT_SECONDS, _SHORT_CUT_SECONDS = 25.0, 12.0
"""Less than Kubernetes takes to notice that a node does not answer: its endpoints are ready all the time."""
_LOST_SECONDS, _TAKEN_OVER_SECONDS = 5.0, 15.0
_APPLIED_SECONDS = 1.0
"""Until the gateway follows a weight."""
_KILLED_SECONDS = 1.0
"""After a cut or its end: before anything came of it."""
_FLAP_SECONDS, _FLAPS = 5.0, 5
_STATIC = "FailStatic"
_STATIC_SECONDS = 20.0
"""Less than it takes until a group whose engine is unhealthy ends."""
_ENGINE_PORT = 8000


def lost(common: Callable[..., Drill], *, short: bool) -> tuple[Drill, ...]:
    """Those of the gate and, where they are not short, the others."""
    away, dwell = (_SHORT_CUT_SECONDS, SHORT_DWELL_SECONDS) if short else (_CUT_SECONDS, DWELL_SECONDS)
    cut = partial(common, act=_cut, outcome=settled, undo=_heal, stays_out_seconds=away + dwell)
    found = (
        cut(
            "zone-cut",
            f"a zone's network cut off for {away:.0f} s",
            prepare=_outside,
            follow=partial(_heal_after, seconds=away),
            limits=_limits(_LOST_SECONDS, away),
        ),
        cut(
            "zone-cut-active-operator",
            f"a zone's network cut off for {away:.0f} s, with the operator in it that acts",
            prepare=_inside,
            follow=partial(_heal_after, seconds=away),
            limits=_limits(_TAKEN_OVER_SECONDS, away),
        ),
        cut(
            "zone-cut-operators-killed",
            f"a zone's network cut off for {away:.0f} s, and SIGKILL to every operator just after the cut and its end",
            prepare=_new_outside,
            follow=partial(_kill_and_heal_and_kill, seconds=away),
            limits=_limits(_TAKEN_OVER_SECONDS, away),
        ),
    )
    return found if short else (*found, _stopped(common), _flapping(common), _all_unready(common))


def _outside(target: Target) -> None:
    """The operator that acts is elsewhere, and every zone has its whole share."""
    operators.keep_active_out(target, NODE)
    target.wait_until_settled()


def _inside(target: Target) -> None:
    operators.keep_active_in(target, NODE)
    target.wait_until_settled()


def _new_outside(target: Target) -> None:
    """With new pods: the kubelet starts a container at once only where it has not failed before."""
    operators.renew(target, cordoned=NODE)
    target.wait_until_settled()


def _platform_outside(target: Target) -> None:
    """Nothing but groups is lost with the zone."""
    nodes.clear_of_platform(target, NODE)
    target.wait_until_settled()


def _stop(scene: Scene) -> float:
    at = time.monotonic()
    scene.target.cluster.stop_node(NODE)
    return at


def _start(scene: Scene) -> None:
    scene.target.cluster.start_node(NODE)


def _start_after(scene: Scene) -> None:
    time.sleep(_CUT_SECONDS)
    _start(scene)


def _kill_and_heal_and_kill(scene: Scene, *, seconds: float) -> None:
    """The operators are gone when the silence is noticed, and when the zone answers again."""
    _kill_operators(scene)
    _heal_after(scene, seconds=seconds - _KILLED_SECONDS)
    _kill_operators(scene)


def _kill_operators(scene: Scene) -> None:
    time.sleep(_KILLED_SECONDS)
    processes.kill_operator(scene.target.kube)


def _cut(scene: Scene) -> float:
    at = time.monotonic()
    scene.target.cluster.cut_zone(ZONE)
    return at


def _heal(scene: Scene) -> None:
    scene.target.cluster.heal_zone(ZONE)


def _heal_after(scene: Scene, *, seconds: float) -> None:
    time.sleep(seconds)
    _heal(scene)


def _flap(scene: Scene) -> None:
    """There and away, each for less time than the zone has to be well."""
    for _ in range(_FLAPS):
        _heal_after(scene, seconds=_FLAP_SECONDS)
        time.sleep(_FLAP_SECONDS)
        _cut(scene)
    _heal_after(scene, seconds=_FLAP_SECONDS)


def _all_unhealthy(scene: Scene) -> float:
    at = time.monotonic()
    _tell_engines(scene.target, "unhealthy")
    return at


def _until_static(scene: Scene) -> None:
    """The status says of every zone that its weight is left alone; then all is well again."""
    target = scene.target

    def static() -> bool:
        zones = target.kube.get(target.path)["status"]["zones"]
        return all(zone["weightReason"] == _STATIC for zone in zones)

    api.wait_until(static, timeout_seconds=_STATIC_SECONDS, what=f"the reason {_STATIC} for every zone")
    _all_healthy(scene)


def _all_healthy(scene: Scene) -> None:
    _tell_engines(scene.target, "unhealthy?value=0")


def _tell_engines(target: Target, verb: str) -> None:
    for pod in target.pods():
        if label(pod, ROLE) == "leader":
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}:{_ENGINE_PORT}/proxy/double/{verb}"
            target.kube.text("POST", path)


def _stopped(common: Callable[..., Drill]) -> Drill:
    """The pods of the zone start again with the node, and their group is made anew."""
    return common(
        "zone-stopped",
        f"every node of a zone without power for {_CUT_SECONDS:.0f} s",
        _stop,
        recreated_and_settled,
        prepare=_platform_outside,
        follow=_start_after,
        undo=_start,
        stays_out_seconds=_CUT_SECONDS + DWELL_SECONDS,
        limits=_limits(_LOST_SECONDS, _CUT_SECONDS),
    )


def _flapping(common: Callable[..., Drill]) -> Drill:
    """Only where a zone must be well for longer than it is there."""
    last = (2 * _FLAPS + 1) * _FLAP_SECONDS
    return common(
        "zone-flapping",
        f"a zone's network cut off and back every {_FLAP_SECONDS:.0f} s, {_FLAPS + 1} times",
        _cut,
        settled,
        prepare=_outside,
        follow=_flap,
        undo=_heal,
        stays_out_seconds=last + DWELL_SECONDS,
        limits=_limits(_LOST_SECONDS, last),
    )


def _all_unready(common: Callable[..., Drill]) -> Drill:
    """Where they do not get unready at one moment, traffic moves to the last one, which keeps it.

    They do not get ready at one moment either: the last one may then leave and come back too, so each zone may, once.
    """
    return common(
        "zone-all-unready",
        "every group out of rotation at the same time, though its engine still answers",
        _all_unhealthy,
        returned,
        follow=_until_static,
        undo=_all_healthy,
        limits=QUIET | {"recovered_seconds": 60.0, "zones_out": 2, "returns": 3},
        leave_others=False,
        weight_moves=False,
    )


def _limits(moved: float, away: float) -> dict[str, float | None]:
    """Requests that are sent to the zone until its weight has moved are lost, and no later ones."""
    return {
        "out_of_rotation_seconds": None,
        "weight_moved_seconds": moved,
        "last_failed_seconds": moved + _APPLIED_SECONDS,
        "recovered_seconds": away + ROUND_SECONDS,
        "zones_out": 1,
        "returns": 1,
    }
