"""``trireme rollout``: how far a new template has come, and a hand on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from trireme_operator.cli import edits
from trireme_operator.cli.cluster import (
    Context,
    DryRun,
    DryRunOption,
    Kubeconfig,
    Name,
    Namespace,
    Target,
    ask,
    generation_of,
)
from trireme_operator.cli.output import Exit, Format, fail, note, out, write
from trireme_operator.cli.rollback import rollback

if TYPE_CHECKING:
    from trireme_operator.kube import UserApi

Obj = dict[str, Any]

_LOOK_SECONDS: Final = 2.0
_STOPPED: Final = "ProgressDeadlineExceeded"
_PAUSED: Final = "RolloutPaused"

app = typer.Typer(
    help="A new template goes to one zone after the other: see how far it has come, pause it, take it back.",
    no_args_is_help=True,
)
app.command("undo")(rollback)


@app.command("status")
def rollout_status(
    name: Name,
    *,
    timeout: Annotated[
        int, typer.Option("--timeout", min=0, help="Wait so many seconds for the rollout to end; 0: don't wait.")
    ] = 0,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="How it is written.")] = Format.TABLE,
) -> None:
    """Show which zones run the template that the spec asks for, and what the rollout does now.

    Exit codes: 0 every zone runs it, or without --timeout it is on its way, 1 it is stopped, or the time is over, 2 the
    command line or kubeconfig is not usable, 3 the API server said no.
    """
    target = Target(namespace, context, kubeconfig)
    found = ask(target, lambda api, where: _follow(api, where, name, timeout))
    data = summary(found)
    if output is Format.TABLE:
        _show(data)
    else:
        write([data], output)
    if data["phase"] == "Stopped" or (timeout and data["phase"] != "Done"):
        raise typer.Exit(Exit.INVALID)


@app.command()
def pause(
    name: Name,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    dry_run: DryRunOption = DryRun.NONE,
) -> None:
    """Let no further zone get the new template: sets spec.rollout.paused, as the field manager trireme-cli.

    The zone whose groups are being replaced is finished.

    Exit codes: 0 done, 1 it is paused already, 2 the command line or kubeconfig is not usable, 3 the API server said
    no.
    """
    _set(Target(namespace, context, kubeconfig), name, dry_run, paused=True)


@app.command()
def resume(
    name: Name,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    dry_run: DryRunOption = DryRun.NONE,
) -> None:
    """Let the rollout go on: takes spec.rollout.paused away.

    Exit codes: 0 done, 1 it is not paused, 2 the command line or kubeconfig is not usable, 3 the API server said no.
    """
    _set(Target(namespace, context, kubeconfig), name, dry_run, paused=False)


def summary(raw: Obj) -> Obj:
    """The rollout as data: its phase, the operator's words for it, the revision asked for, and each zone."""
    status = raw.get("status") or {}
    conditions = {item.get("type"): item for item in status.get("conditions") or []}
    progressing = conditions.get("Progressing") or {}
    wanted = status.get("revision")
    zones = [
        {
            "name": zone.get("name") or "",
            "revision": zone.get("revision"),
            "current": wanted is not None and zone.get("revision") == wanted,
            "groups": zone.get("groups") or 0,
            "readyGroups": zone.get("readyGroups") or 0,
            "weight": zone.get("weight") or 0,
            "weightReason": zone.get("weightReason"),
            "drain": zone.get("drain"),
        }
        for zone in status.get("zones") or []
    ]
    seen = status.get("observedGeneration") == generation_of(raw)
    phase = _phase(progressing, zones) if seen else "Pending"
    message = progressing.get("message") if seen else "the operator has not seen the latest spec yet"
    return {"revision": wanted, "phase": phase, "message": message or "", "zones": zones}


def _phase(progressing: Obj, zones: list[Obj]) -> str:
    if progressing.get("reason") == _STOPPED:
        return "Stopped"
    if progressing.get("reason") == _PAUSED:
        return "Paused"
    running = [zone for zone in zones if zone["drain"] != "Drained"]
    done = all(zone["current"] for zone in running) and progressing.get("status") == "False"
    return "Done" if zones and done else "Progressing"


async def _follow(api: UserApi, namespace: str, name: str, seconds: int) -> Obj:
    from trireme_operator.kube import INFERENCE_CLUSTER  # noqa: PLC0415 - see `cluster.ask`

    told = ""
    for left in range(int(seconds / _LOOK_SECONDS), -1, -1):
        raw = await api.get(INFERENCE_CLUSTER, namespace, name)
        found = summary(raw)
        if not left or found["phase"] in {"Done", "Stopped"}:
            break
        if found["message"] != told:
            told = found["message"]
            note(told)
        await asyncio.sleep(_LOOK_SECONDS)
    return raw


def _set(target: Target, name: str, dry_run: DryRun, *, paused: bool) -> None:
    raw = ask(target, lambda api, where: _read(api, where, name))
    after = paused_spec(raw["spec"], paused=paused)
    if bool((raw["spec"].get("rollout") or {}).get("paused")) is paused:
        fail(f"the rollout of {name} is {'paused already' if paused else 'not paused'}", Exit.INVALID)
    who = edits.keeper(raw)
    if who:
        note(f"{who} writes this resource: where it sets spec.rollout itself, its next sync takes this back")
    tried = dry_run is DryRun.SERVER
    operations = edits.spec_edits(raw["spec"], after)
    ask(target, lambda api, _: edits.send(api, raw, operations, dry_run=tried))
    done = f"The rollout of {name} is paused" if paused else f"The rollout of {name} goes on"
    note("The API server would take it; nothing was stored" if tried else done)


def paused_spec(spec: Obj, *, paused: bool) -> Obj:
    """The spec, paused or not; a `rollout` that says nothing any more goes."""
    kept = {key: value for key, value in (spec.get("rollout") or {}).items() if key != "paused"}
    rollout = kept | ({"paused": True} if paused else {})
    rest = {key: value for key, value in spec.items() if key != "rollout"}
    return rest | ({"rollout": rollout} if rollout else {})


async def _read(api: UserApi, namespace: str, name: str) -> Obj:
    from trireme_operator.kube import INFERENCE_CLUSTER  # noqa: PLC0415 - see `cluster.ask`

    return await api.get(INFERENCE_CLUSTER, namespace, name)


def _show(data: Obj) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("ZONE", "REVISION", "CURRENT", "READY", "WEIGHT", "REASON"):
        table.add_column(column)
    for zone in data["zones"]:
        table.add_row(
            zone["name"] or "any",
            zone["revision"] or "-",
            "yes" if zone["current"] else "no",
            f"{zone['readyGroups']}/{zone['groups']}",
            str(zone["weight"]),
            str(zone["drain"] or zone["weightReason"] or "-"),
        )
    console = out()
    console.print(table)
    console.print(f"{data['phase']}: {data['message']}" if data["message"] else data["phase"])
