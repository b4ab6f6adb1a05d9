"""Drills on whole zones: drained and given a new version on purpose, then those that are lost."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from e2e import api, host, processes, resources, stack
from e2e.api import Obj
from e2e.demo.watch import condition
from e2e.drills import gateways, operators
from e2e.drills.drill import Drill, Scene
from e2e.drills.load import new_template
from e2e.drills.outcomes import all_recreated_and_settled, recreated_and_settled, route_is_back, settled
from e2e.drills.size import Size
from e2e.drills.target import Engine, Target, manifest
from e2e.drills.zone_losses import lost
from e2e.drills.zone_scene import NODE, QUIET, ROUND_SECONDS, ZONE

DEADLINE_SECONDS = 60
_TOO_LONG = 1_000_000
"""Tokens of a context; SmolLM2's has 8192."""
_CLI_SECONDS = 300
_KILLS, _BETWEEN_KILLS_SECONDS = 4, 12.0
_RESTART_SECONDS = 90.0
"""The kubelet's pause before a container that failed starts again doubles each time."""
_STOPPED = "ProgressDeadlineExceeded"


def _trireme(target: Target, *words: str) -> None:
    """The command line, as its user has it. Raises CommandError with what it said."""
    where = ("--namespace", target.namespace, "--kubeconfig", str(target.cluster.kubeconfig()))
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


def _new_release(scene: Scene) -> float:
    """Another image, as with a release of the engine, and a flag."""
    current = scene.target.kube.get(scene.target.path)["spec"]["engine"]["image"]
    image = resources.DOUBLE_IMAGE if current == resources.NEXT_DOUBLE_IMAGE else resources.NEXT_DOUBLE_IMAGE
    return new_template(scene, image=image)


def _with_next_image(target: Target) -> None:
    stack.load(target.cluster, "engine-double-next")
    target.wait_until_settled()


def _with_new_operators(target: Target) -> None:
    """The kubelet starts a container at once only where it has not failed before."""
    operators.renew(target, cordoned=NODE)
    target.wait_until_settled()


def _with_next_image_and_new_operators(target: Target) -> None:
    stack.load(target.cluster, "engine-double-next")
    _with_new_operators(target)


def _broken_template(scene: Scene) -> float:
    """An engine that never gets ready: the double loads for ever, vLLM is asked for more than its model can."""
    target = scene.target
    changes: dict[str, Any] = {"engine": {"config": {"maxModelLen": _TOO_LONG}}}
    if target.engine is Engine.DOUBLE:
        overlay: Obj = copy.deepcopy(_overlay(target))
        overlay["spec"]["containers"][0]["env"].append({"name": "DOUBLE_NEVER_READY", "value": "1"})
        changes = {"podTemplate": overlay}
    at = time.monotonic()
    target.set_spec(**changes, rollout={"progressDeadlineSeconds": DEADLINE_SECONDS})
    return at


def _until_it_stops(scene: Scene) -> None:
    """The condition names the zone and the cause; then the former values come back. Raises RuntimeError."""
    target = scene.target

    def stopped() -> Obj | None:
        found = condition(target.kube.get(target.path), "Progressing")
        return found if found.get("reason") == _STOPPED else None

    said = api.wait_until(stopped, timeout_seconds=DEADLINE_SECONDS + ROUND_SECONDS, what=f"the reason {_STOPPED}")
    message = str((said or {}).get("message"))
    if f"zone {ZONE} " not in message or "put the former values back" not in message:
        raise RuntimeError(f"the condition does not name zone {ZONE} and the way out: {message}")
    _former_template(scene)


def _former_template(scene: Scene) -> None:
    target = scene.target
    if target.engine is Engine.DOUBLE:
        target.set_spec(podTemplate=_overlay(target), rollout=None)
    else:
        length = manifest(target.layout, target.engine)["spec"]["engine"]["config"]["maxModelLen"]
        target.set_spec(engine={"config": {"maxModelLen": length}}, rollout=None)


def _overlay(target: Target) -> Any:
    return manifest(target.layout, target.engine)["spec"]["podTemplate"]


def _stop_gateway_and_drain(scene: Scene) -> float:
    gateways.stop_controller(scene.target.kube)
    return _ask_drain(scene)


def _start_gateway_and_undrain(scene: Scene) -> None:
    gateways.until_pending(scene.target)
    gateways.start_controller(scene.target.kube)
    _drained_and_back(scene)


def _undo_gateway_stopped(scene: Scene) -> None:
    gateways.start_controller(scene.target.kube)
    _take_back_drain(scene)


def _remove_routes(scene: Scene) -> float:
    gateways.stop_controller(scene.target.kube)
    at = time.monotonic()
    gateways.remove_routes(scene.target.cluster)
    return at


def _routes_again(scene: Scene) -> None:
    """The condition says what is missing; the route is there again before a controller looks for it."""
    gateways.until_missing(scene.target)
    gateways.install_api(scene.target.cluster)
    gateways.until_routed(scene.target)
    _undo_routes_removed(scene)


def _undo_routes_removed(scene: Scene) -> None:
    gateways.install_api(scene.target.cluster)
    gateways.start_controller(scene.target.kube)


def zone_drills(size: Size) -> tuple[Drill, ...]:
    """Those of a zone that is taken out on purpose, then those of a zone that is lost."""
    common = partial(
        Drill,
        layout=size.zones,
        broken=(ZONE, 0),
        engines=frozenset({size.engine}),
        prepare=Target.wait_until_settled,
        shape=size.shape,
        before=size.before,
    )
    found = (*_on_purpose(common, size), *lost(common, size))
    if size.short:
        return tuple(map(_in_company, found))
    return (*found, _gateway_stopped(common), _routes_removed(common))


def _in_company(drill: Drill) -> Drill:
    """A short run shares its machine with other tests, and tells of nothing but what was lost."""
    return replace(drill, limits={**drill.limits, "longest_silence_seconds": None})


def _on_purpose(common: Callable[..., Drill], size: Size) -> tuple[Drill, ...]:
    rounds, zones = size.rounds, len(size.zones.groups)
    rollout, what, new_operators = partial(common, act=new_template), "flag", _with_new_operators
    if size.engine is Engine.DOUBLE and not size.short:  # a model's image is too large for a second one
        rollout, what = partial(common, act=_new_release, prepare=_with_next_image), "image and flag"
        new_operators = _with_next_image_and_new_operators
    rollout = partial(rollout, outcome=all_recreated_and_settled, leave_others=False)
    limits = QUIET | {"recovered_seconds": zones * ROUND_SECONDS, "returns": zones}
    return (
        common(
            "zone-drain",
            "trireme drain and undrain of a zone" + (f", {rounds} times" if rounds > 1 else ""),
            _drain,
            settled,
            follow=partial(_and_again, rounds=rounds),
            undo=_take_back_drain,
            limits=QUIET | {"recovered_seconds": rounds * ROUND_SECONDS, "returns": rounds},
            requests=size.drained_requests,
        ),
        common(
            "zone-drain-operator-killed",
            f"trireme drain and undrain of a zone, and SIGKILL to every operator, {_KILLS} times",
            _ask_drain,
            settled,
            prepare=_with_new_operators,
            follow=_kill_operators_while_it_drains,
            undo=_take_back_drain,
            limits=QUIET | {"recovered_seconds": _CLI_SECONDS + ROUND_SECONDS, "returns": 1},
        ),
        rollout("zone-rollout", f"a new {what} for {zones} zones", limits=limits),
        rollout(
            "zone-rollout-operator-killed",
            f"a new {what} for {zones} zones, and SIGKILL to every operator, {_KILLS} times",
            prepare=new_operators,
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
            limits=QUIET | {"recovered_seconds": DEADLINE_SECONDS + 2 * ROUND_SECONDS, "returns": 1},
        ),
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
        limits=QUIET | {"recovered_seconds": _CLI_SECONDS + ROUND_SECONDS, "returns": 1},
    )


def _routes_removed(common: Callable[..., Drill]) -> Drill:
    """With the definition all routes go; the proxies keep what they were last told."""
    return common(
        "routes-removed",
        "HTTPRoute's definition removed while the gateway's controller is away, and both back",
        _remove_routes,
        route_is_back,
        follow=_routes_again,
        undo=_undo_routes_removed,
        limits=QUIET | {"recovered_seconds": _CLI_SECONDS, "zones_out": 0, "returns": 0},
        weight_moves=False,
    )
