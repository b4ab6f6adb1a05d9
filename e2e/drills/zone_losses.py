"""Drills on a zone that is lost: cut off, without power, or unready, while the other zones answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from e2e import api, processes
from e2e.drills import nodes, operators
from e2e.drills.drill import Drill, Scene
from e2e.drills.outcomes import recreated_and_settled, relieved_and_settled, returned, settled
from e2e.drills.size import Size, guarded
from e2e.drills.target import Engine, Target
from e2e.drills.zone_scene import NODE, QUIET, ROUND_SECONDS, ZONE

_LOST_SECONDS, _TAKEN_OVER_SECONDS = 5.0, 15.0
_APPLIED_SECONDS = 1.0
"""Until the gateway follows a weight."""
_CUT_SECONDS = 0.5
"""What a cut takes: requests that begin meanwhile run when it is there."""
_KILLED_SECONDS = 1.0
"""After a cut or its end: before anything came of it."""
_FLAP_SECONDS, _FLAPS = 5.0, 5
_STATIC = "FailStatic"
_STATIC_SECONDS = 20.0
"""Less than it takes until a group whose engine is unhealthy ends."""


def lost(common: Callable[..., Drill], size: Size) -> tuple[Drill, ...]:
    """Those of the gate and, where they are not short, the others."""
    away = size.away_seconds
    cut = partial(common, act=_cut, outcome=settled, undo=_heal, stays_out_seconds=away + size.dwell_seconds)
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
    if size.short:
        return found
    return (*found, _stopped(common, size), _flapping(common, size), _all_unready(common), _guarded(cut, size))


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


def _start_after(scene: Scene, *, seconds: float) -> None:
    time.sleep(seconds)
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
    if scene.target.engine is Engine.DOUBLE:
        _tell_engines(scene.target, "unhealthy")
    else:
        _signal_engines(scene.target, signal.SIGSTOP)
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
    if scene.target.engine is Engine.DOUBLE:
        _tell_engines(scene.target, "unhealthy?value=0")
    else:
        _signal_engines(scene.target, signal.SIGCONT)


def _tell_engines(target: Target, verb: str) -> None:
    for pod in target.leaders():
        target.kube.text("POST", f"{target.engine_path(pod)}/double/{verb}")


def _signal_engines(target: Target, number: signal.Signals) -> None:
    """To the process that answers HTTP; what it was asked is answered when it goes on."""
    for pod in target.leaders():
        os.kill(processes.engine(str(pod["metadata"]["uid"])), number)


def _stopped(common: Callable[..., Drill], size: Size) -> Drill:
    """The pods of the zone start again with the node, and their group is made anew."""
    away = size.away_seconds
    return common(
        "zone-stopped",
        f"every node of a zone without power for {away:.0f} s",
        _stop,
        recreated_and_settled,
        prepare=_platform_outside,
        follow=partial(_start_after, seconds=away),
        undo=_start,
        stays_out_seconds=away + size.dwell_seconds,
        limits=_limits(_LOST_SECONDS, away),
    )


def _flapping(common: Callable[..., Drill], size: Size) -> Drill:
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
        stays_out_seconds=last + size.dwell_seconds,
        limits=_limits(_LOST_SECONDS, last),
    )


def _all_unready(common: Callable[..., Drill]) -> Drill:
    """Where they do not get unready at one moment, traffic moves to the last one, which keeps it.

    They do not get ready at one moment either: the last one may then leave and come back too, so each zone may, once.
    """
    return common(
        "zone-all-unready",
        "every group out of rotation at the same time, though its engine answers what it is asked",
        _all_unhealthy,
        returned,
        follow=_until_static,
        undo=_all_healthy,
        limits=QUIET | {"recovered_seconds": 60.0, "zones_out": 2, "returns": 3},
        leave_others=False,
        weight_moves=False,
    )


def _guarded(cut: Callable[..., Drill], size: Size) -> Drill:
    """With all that may be asked for: what no engine has begun is sent to another zone, and those get more groups."""
    away = size.away_seconds
    return cut(
        "zone-cut-guarded",
        f"a zone's network cut off for {away:.0f} s, with gateway.policy AggressiveRetry and failover.survivorFloor",
        outcome=relieved_and_settled,
        layout=guarded(size.zones),
        prepare=_outside,
        follow=partial(_heal_after, seconds=away),
        limits=_limits(_LOST_SECONDS, away) | {"last_failed_seconds": _CUT_SECONDS},
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
