"""``trireme drain`` and ``trireme undrain``: a zone out of service, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trireme_operator.api import InferenceCluster, InvalidResource, parse
from trireme_operator.api.labels import DRAIN_PREFIX
from trireme_operator.cli import edits
from trireme_operator.cli.cluster import (
    Context,
    DryRun,
    DryRunOption,
    Kubeconfig,
    Name,
    Namespace,
    Target,
    Yes,
    ask,
    confirm,
)
from trireme_operator.cli.observed import Observed, Zone, observe
from trireme_operator.cli.output import Exit, fail, note
from trireme_operator.planning import DrainPhase, DrainWish, ZoneRun, drain_wishes, group_seats, plan, refusal

if TYPE_CHECKING:
    from trireme_operator.kube import UserApi

Obj = dict[str, Any]

_LOOK_SECONDS: Final = 2.0
ZoneName = Annotated[str, typer.Argument(help="One of the resource's zones.", metavar="ZONE")]
Timeout = Annotated[int, typer.Option("--timeout", min=0, help="Wait so many seconds until it is done; 0: don't wait.")]


def drain(
    name: Name,
    zone: ZoneName,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also when the other zones can't take the load, or nobody is left.")
    ] = False,
    timeout: Timeout = 0,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    dry_run: DryRunOption = DryRun.NONE,
) -> None:
    """Take a zone out of service: its traffic moves away in steps, what runs is waited for, then its groups end.

    The wish is the annotation drain.trireme.dev/ZONE of the resource, set as the field manager trireme-cli, so a sync
    from Git leaves it alone. The operator judges the load again before it begins, and takes the zone back into traffic
    should the other zones fail before its groups have ended.

    Exit codes: 0 done, 1 no such zone, the others can't take its load, you said no, or the time is over, 2 the command
    line or kubeconfig is not usable, 3 the API server said no.
    """
    target = Target(namespace, context, kubeconfig)
    found = ask(target, lambda api, where: observe(api, where, name))
    cluster = _judged(found, zone)
    why_not = may_drain(found, cluster, zone)
    if why_not and not force:
        fail(f"zone {zone} is not drained: {why_not}", Exit.INVALID)
    wish = DrainWish.FORCED if force else DrainWish.DRAINING
    operations = edits.annotation_edits(found.raw, DRAIN_PREFIX + zone, wish.value)
    if not operations:
        note(f"The drain of zone {zone} was asked for already")
    elif dry_run is DryRun.NONE:
        confirm(f"Drain zone {zone} of {name}? {_sum(found, zone)}", yes=yes)
    _send(target, found.raw, operations, dry_run)
    if dry_run is DryRun.NONE:
        note(f"Zone {zone} is to be drained; trireme status {name} shows how far it is, trireme undrain takes it back")
        _wait(target, found.raw, zone, timeout, drained=True)


def undrain(
    name: Name,
    zone: ZoneName,
    *,
    timeout: Timeout = 0,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    dry_run: DryRunOption = DryRun.NONE,
) -> None:
    """Take back a drain: the zone gets its groups, and when they are ready its traffic in steps.

    Exit codes: 0 done, 1 there was no drain by annotation, or the time is over, 2 the command line or kubeconfig is
    not usable, 3 the API server said no.
    """
    target = Target(namespace, context, kubeconfig)
    found = ask(target, lambda api, where: observe(api, where, name))
    operations = edits.annotation_edits(found.raw, DRAIN_PREFIX + zone, None)
    states = {each.get("name"): each.get("state") for each in (found.raw.get("spec") or {}).get("zones") or []}
    state = states.get(zone) or "Active"
    kept = f"spec.zones says {state} for zone {zone}: set its state to Active there to bring it back"
    if not operations:
        fail(kept if state != "Active" else f"nothing drains zone {zone} of {name}", Exit.INVALID)
    _send(target, found.raw, operations, dry_run)
    if dry_run is DryRun.NONE:
        note(
            kept
            if state != "Active"
            else f"Zone {zone} of {name} comes back; trireme status {name} shows how far it is"
        )
        if state == "Active":
            _wait(target, found.raw, zone, timeout, drained=False)


def may_drain(found: Observed, cluster: InferenceCluster, zone: str) -> str | None:
    """Why the other zones can't take the zone's load, with the sum; None when they can, as far as can be told."""
    leaving = drain_wishes(cluster)
    planned = {each.name: each for each in plan(cluster).zones}
    runs = {
        each.name: ZoneRun(
            each.name,
            revision=each.revision or None,
            groups=int(each.status.get("groups") or 0),
            needed=0,
            ready=int(each.status.get("readyGroups") or 0),
            weight=planned[each.name].weight,
            share=int(each.status.get("weight") or 0),
            running=_running(each),
            most=planned[each.name].max_replicas,
            leaving=each.name in leaving,
        )
        for each in found.zones
        if each.name in planned
    }
    mine = runs.pop(zone, None)
    if mine is None:
        return "the operator has not looked at it yet; wait until trireme status shows it"
    if mine.groups == 0:
        return None
    survivors = [each for each in runs.values() if each.serves and each.share != 0]
    return refusal(mine, survivors, seats=group_seats(cluster))


def _judged(found: Observed, zone: str) -> InferenceCluster:
    """The resource; ends the program for a zone that it doesn't have."""
    try:
        cluster = parse(found.raw)
    except InvalidResource as error:
        fail(f"the spec is refused, so correct it first: {error}", Exit.INVALID)
    names = [each.name for each in cluster.spec.zones or []]
    if zone not in names:
        has = f"its zones are {', '.join(names)}" if names else "it has none"
        fail(f"{cluster.metadata.name} has no zone {zone}: {has}", Exit.INVALID)
    return cluster


def _running(zone: Zone) -> int | None:
    said = [pod.heard for group in zone.groups for pod in group.pods if pod.serves and pod.ready]
    counts = [each.requests for each in said if each is not None and each.requests is not None]
    return sum(counts) if counts else None


def _sum(found: Observed, zone: str) -> str:
    told = {each.name: each.status for each in found.zones}
    others = [f"{name} {status.get('readyGroups') or 0}" for name, status in told.items() if name != zone]
    groups = told.get(zone, {}).get("groups") or 0
    return f"Its {groups} groups end; ready groups elsewhere: {', '.join(others) or 'none'}."


def _send(target: Target, raw: Obj, operations: list[Obj], dry_run: DryRun) -> None:
    if operations:
        tried = dry_run is DryRun.SERVER
        ask(target, lambda api, _: edits.send(api, raw, operations, dry_run=tried))
        if tried:
            note("The API server would take it; nothing was stored")


def _wait(target: Target, raw: Obj, zone: str, seconds: int, *, drained: bool) -> None:
    """Until the status says so; ends the program when the time is over."""
    if not seconds:
        return
    said = ask(target, lambda api, _: _follow(api, raw, zone, seconds, drained=drained))
    if said is not None:
        fail(f"after {seconds} s zone {zone} is not there yet: {said}", Exit.INVALID)
    note(f"Zone {zone} is drained" if drained else f"Zone {zone} is back")


async def _follow(api: UserApi, raw: Obj, zone: str, seconds: int, *, drained: bool) -> str | None:
    """What is still missing when the time is over; None when it is done."""
    from trireme_operator.kube import INFERENCE_CLUSTER  # noqa: PLC0415 - see `cluster.ask`

    metadata, told = raw["metadata"], ""
    for _ in range(max(1, int(seconds / _LOOK_SECONDS))):
        await asyncio.sleep(_LOOK_SECONDS)
        live = await api.get(INFERENCE_CLUSTER, metadata["namespace"], metadata["name"])
        found = {each.get("name"): each for each in (live.get("status") or {}).get("zones") or []}
        missing = what_is_missing(found.get(zone) or {}, drained=drained)
        if missing is None:
            return None
        if missing != told:
            note(missing)
            told = missing
    return told


def what_is_missing(status: Mapping[str, Any], *, drained: bool) -> str | None:
    """What keeps a zone, as the status tells it, from being drained, or from being back; None when nothing does."""
    if drained:
        done = status.get("drain") == DrainPhase.DRAINED
        return None if done else str(status.get("message") or "the operator has not taken it up yet")
    if "drain" in status:
        return "the operator has not taken it up yet"
    ready, groups = int(status.get("readyGroups") or 0), int(status.get("groups") or 0)
    if ready < groups:
        return f"{ready} of {groups} groups are ready"
    percent = status.get("weightPercent")
    return f"it has {percent} % of its traffic" if percent is not None else None
