"""Drills on whole zones: drained, given a new version, or cut off, while the other zones answer."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from e2e import api, host, processes
from e2e.api import Obj
from e2e.demo.watch import condition
from e2e.drills import operators
from e2e.drills.drill import Drill, Scene
from e2e.drills.gateways import start_controller, stop_controller, until_pending
from e2e.drills.load import FULL, FULL_BEFORE, SHORT, SHORT_BEFORE, new_template
from e2e.drills.outcomes import all_recreated_and_settled, recreated_and_settled, returned, settled
from e2e.drills.target import NAMESPACE, Engine, Layout, Target, manifest
from e2e.drills.timeline import ROLE, label

ZONE, NODE = "zone-a", "node-a"
"""What is drained or lost, and its only node. The platform prefers another one."""

DWELL_SECONDS, SHORT_DWELL_SECONDS = 10, 2
ZONES3 = Layout("drill-zones", {"zone-a": 1, "zone-b": 1, "zone-c": 1}, {"failover": {"returnSeconds": 20}})
"""The defaults but for the minute in which a zone comes back, which is spent many times."""
ZONES2 = Layout(
    "drill-two-zones",
    {"zone-a": 1, "zone-b": 1},
    {"failover": {"dwellSeconds": SHORT_DWELL_SECONDS, "returnSeconds": 4}},
)

FULL_ROUNDS, FULL_DRAIN_REQUESTS = 10, 20_000
DEADLINE_SECONDS = 60
_CLI_SECONDS = 300
_CUT_SECONDS, _SHORT_CUT_SECONDS = 25.0, 12.0
"""Less than Kubernetes takes to notice that a node does not answer: its endpoints are ready all the time."""
_LOST_SECONDS, _TAKEN_OVER_SECONDS = 5.0, 15.0
_APPLIED_SECONDS = 1.0
"""Until the gateway follows a weight."""
_FLAP_SECONDS, _FLAPS = 5.0, 5
_KILLS, _BETWEEN_KILLS_SECONDS = 4, 12.0
_RESTART_SECONDS = 90.0
"""The kubelet's pause before a container that failed starts again doubles each time."""
_STOPPED, _STATIC = "ProgressDeadlineExceeded", "FailStatic"
_STATIC_SECONDS = 20.0
"""Less than it takes until a group whose engine is unhealthy ends."""
_ENGINE_PORT = 8000

# A zone takes half a minute to leave and as long to come back, besides the longest stream and the pods' own end.
_ROUND_SECONDS = 180.0
_QUIET: dict[str, float | None] = {
    "failed": 0,
    "out_of_rotation_seconds": None,
    "last_failed_seconds": None,
    "longest_silence_seconds": 1.0,
    "zones_out": 1,
}


def _trireme(target: Target, *words: str) -> None:
    """The command line, as its user has it. Raises CommandError with what it said."""
    where = ("--namespace", NAMESPACE, "--kubeconfig", str(target.cluster.kubeconfig()))
    host.run(target.cluster.command(sys.executable, "-m", "trireme_operator.cli.main", *words, *where))


def _drain(scene: Scene) -> float:
    at = time.monotonic()
    _trireme(scene.target, "drain", scene.target.name, ZONE, "--yes", f"--timeout={_CLI_SECONDS}")
    return at


def _undrain(scene: Scene) -> None:
    _trireme(scene.target, "undrain", scene.target.name, ZONE, f"--timeout={_CLI_SECONDS}")


def _and_again(scene: Scene, *, rounds: int) -> None:
    """Back, and as many more drains as it takes."""
    _undrain(scene)
    for _ in range(rounds - 1):
        _drain(scene)
        _undrain(scene)


def _take_back_drain(scene: Scene) -> None:
    """Whatever has come of it."""
    scene.target.kube.merge_patch(scene.target.path, {"metadata": {"annotations": {f"drain.trireme.dev/{ZONE}": None}}})


def _ask_drain(scene: Scene) -> float:
    """As an administrator who does not wait for the end."""
    at = time.monotonic()
    _trireme(scene.target, "drain", scene.target.name, ZONE, "--yes")
    return at


def _drained_and_back(scene: Scene) -> None:
    """Wait for the end of a drain, and take it back."""
    target = scene.target

    def drained() -> bool:
        zones = target.kube.get(target.path)["status"]["zones"]
        return any(zone["name"] == ZONE and zone.get("drain") == "Drained" for zone in zones)

    api.wait_until(drained, timeout_seconds=_CLI_SECONDS, what=f"{ZONE} to be drained")
    _undrain(scene)


def _kill_operators(scene: Scene) -> None:
    """All that run, again and again, wherever drain or rollout are. They start again later and later."""
    kube = scene.target.kube
    for _ in range(_KILLS):
        time.sleep(_BETWEEN_KILLS_SECONDS)
        api.wait_until(
            lambda: processes.kill_operator(kube) >= 0,
            timeout_seconds=_RESTART_SECONDS,
            what="an operator to run",
            ignore=(ProcessLookupError,),
        )


def _kill_operators_while_it_drains(scene: Scene) -> None:
    _kill_operators(scene)
    _drained_and_back(scene)


def _broken_template(scene: Scene) -> float:
    """An engine that never gets ready."""
    target = scene.target
    overlay: Obj = copy.deepcopy(_overlay(target))
    overlay["spec"]["containers"][0]["env"].append({"name": "DOUBLE_NEVER_READY", "value": "1"})
    at = time.monotonic()
    target.set_spec(podTemplate=overlay, rollout={"progressDeadlineSeconds": DEADLINE_SECONDS})
    return at


def _until_it_stops(scene: Scene) -> None:
    """The condition names the zone and the cause; then the former values come back. Raises RuntimeError."""
    target = scene.target

    def stopped() -> Obj | None:
        found = condition(target.kube.get(target.path), "Progressing")
        return found if found.get("reason") == _STOPPED else None

    said = api.wait_until(stopped, timeout_seconds=DEADLINE_SECONDS + _ROUND_SECONDS, what=f"the reason {_STOPPED}")
    message = str((said or {}).get("message"))
    if f"zone {ZONE} " not in message or "put the former values back" not in message:
        raise RuntimeError(f"the condition does not name zone {ZONE} and the way out: {message}")
    _former_template(scene)


def _former_template(scene: Scene) -> None:
    scene.target.set_spec(podTemplate=_overlay(scene.target), rollout=None)


def _overlay(target: Target) -> Any:
    return manifest(target.layout, target.engine)["spec"]["podTemplate"]


def _stop_gateway_and_drain(scene: Scene) -> float:
    stop_controller(scene.target.kube)
    return _ask_drain(scene)


def _start_gateway_and_undrain(scene: Scene) -> None:
    until_pending(scene.target)
    start_controller(scene.target.kube)
    _drained_and_back(scene)


def _undo_gateway_stopped(scene: Scene) -> None:
    start_controller(scene.target.kube)
    _take_back_drain(scene)


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


def _prepared(target: Target, *, operator: Callable[[Target, str], None] | None = None) -> None:
    """Every zone has its whole share, and the operator that acts is where the drill wants it."""
    if operator is not None:
        operator(target, NODE)
    target.wait_until_settled()


_WITH_OPERATOR_OUTSIDE = partial(_prepared, operator=operators.keep_active_out)
_WITH_OPERATOR_INSIDE = partial(_prepared, operator=operators.keep_active_in)


def zone_drills(*, short: bool) -> tuple[Drill, ...]:
    """Those of a zone that is taken out on purpose, then those of a zone that is lost."""
    common = partial(
        Drill,
        layout=ZONES2 if short else ZONES3,
        broken=(ZONE, 0),
        engines=frozenset({Engine.DOUBLE}),
        prepare=_prepared,
        shape=SHORT if short else FULL,
        before=SHORT_BEFORE if short else FULL_BEFORE,
    )
    found = (*_on_purpose(common, short=short), *_lost(common, short=short))
    if short:
        return tuple(map(_in_company, found))
    return (*found, _flapping(common), _all_unready(common), _gateway_stopped(common))


def _in_company(drill: Drill) -> Drill:
    """A short run shares its machine with other tests, and tells of nothing but what was lost."""
    return replace(drill, limits={**drill.limits, "longest_silence_seconds": None})


def _on_purpose(common: Callable[..., Drill], *, short: bool) -> tuple[Drill, ...]:
    rounds, zones = (1, 2) if short else (FULL_ROUNDS, 3)
    rollout = partial(common, act=new_template, outcome=all_recreated_and_settled, leave_others=False)
    limits = _QUIET | {"recovered_seconds": zones * _ROUND_SECONDS, "returns": zones}
    return (
        common(
            "zone-drain",
            f"trireme drain and undrain of a zone, {rounds} times",
            _drain,
            settled,
            follow=partial(_and_again, rounds=rounds),
            undo=_take_back_drain,
            limits=_QUIET | {"recovered_seconds": rounds * _ROUND_SECONDS, "returns": rounds},
            requests=0 if short else FULL_DRAIN_REQUESTS,
        ),
        common(
            "zone-drain-operator-killed",
            f"trireme drain and undrain of a zone, and SIGKILL to every operator, {_KILLS} times",
            _ask_drain,
            settled,
            follow=_kill_operators_while_it_drains,
            undo=_take_back_drain,
            limits=_QUIET | {"recovered_seconds": _CLI_SECONDS + _ROUND_SECONDS, "returns": 1},
        ),
        rollout("zone-rollout", f"a new template for {zones} zones", limits=limits),
        rollout(
            "zone-rollout-operator-killed",
            f"a new template for {zones} zones, and SIGKILL to every operator, {_KILLS} times",
            follow=_kill_operators,
            limits=limits,
        ),
        common(
            "zone-rollout-stopped",
            "a template that never gets ready, and the former one after the deadline",
            _broken_template,
            recreated_and_settled,
            follow=_until_it_stops,
            undo=_former_template,
            limits=_QUIET | {"recovered_seconds": DEADLINE_SECONDS + 2 * _ROUND_SECONDS, "returns": 1},
        ),
    )


def _lost(common: Callable[..., Drill], *, short: bool) -> tuple[Drill, ...]:
    cut, dwell = (_SHORT_CUT_SECONDS, SHORT_DWELL_SECONDS) if short else (_CUT_SECONDS, DWELL_SECONDS)
    lost = partial(common, act=_cut, outcome=settled, undo=_heal)
    return (
        lost(
            "zone-cut",
            f"a zone's network cut off for {cut:.0f} s",
            prepare=_WITH_OPERATOR_OUTSIDE,
            follow=partial(_heal_after, seconds=cut),
            stays_out_seconds=cut + dwell,
            limits=_limits(_LOST_SECONDS, cut),
        ),
        lost(
            "zone-cut-active-operator",
            f"a zone's network cut off for {_CUT_SECONDS:.0f} s, with the operator in it that acts",
            prepare=_WITH_OPERATOR_INSIDE,
            follow=partial(_heal_after, seconds=_CUT_SECONDS),
            stays_out_seconds=_CUT_SECONDS + dwell,
            limits=_limits(_TAKEN_OVER_SECONDS, _CUT_SECONDS),
        ),
    )


def _flapping(common: Callable[..., Drill]) -> Drill:
    """Only where a zone must be well for longer than it is there."""
    last = (2 * _FLAPS + 1) * _FLAP_SECONDS
    return common(
        "zone-flapping",
        f"a zone's network cut off and back every {_FLAP_SECONDS:.0f} s, {_FLAPS + 1} times",
        _cut,
        settled,
        prepare=_WITH_OPERATOR_OUTSIDE,
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
        limits=_QUIET | {"recovered_seconds": 60.0, "zones_out": 2, "returns": 3},
        leave_others=False,
        weight_moves=False,
    )


def _gateway_stopped(common: Callable[..., Drill]) -> Drill:
    """A weight that nobody takes up ends no group: the zone serves until the controller is back."""
    return common(
        "zone-drain-gateway-stopped",
        "trireme drain of a zone while the gateway's controller is away, and undrain when it is back",
        _stop_gateway_and_drain,
        settled,
        follow=_start_gateway_and_undrain,
        undo=_undo_gateway_stopped,
        limits=_QUIET | {"recovered_seconds": _CLI_SECONDS + _ROUND_SECONDS, "returns": 1},
    )


def _limits(moved: float, away: float) -> dict[str, float | None]:
    """Requests that are sent to the zone until its weight has moved are lost, and no later ones."""
    return {
        "out_of_rotation_seconds": None,
        "weight_moved_seconds": moved,
        "last_failed_seconds": moved + _APPLIED_SECONDS,
        "recovered_seconds": away + _ROUND_SECONDS,
        "zones_out": 1,
        "returns": 1,
    }
