"""``trireme rollback``: back to what a revision was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trireme_operator.api import InferenceCluster, InvalidResource, parse
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
from trireme_operator.cli.diff import print_diff
from trireme_operator.cli.output import Exit, Format, fail, note, out, write
from trireme_operator.cli.revisions import History, NoSuchRevisionError, Revision, history_of, shown
from trireme_operator.planning import differences, inputs_name, restored_spec, template_inputs

Obj = dict[str, Any]


class CanNotRestoreError(Exception):
    """The spec of this resource can't be made to ask for the revision; the message says why and the way out."""


@dataclass(frozen=True)
class Change:
    """What a rollback does; without operations the resource asks for the revision already."""

    target: Revision
    before: Obj
    after: Obj
    operations: list[Obj]


def rollback(
    name: Name,
    *,
    to: Annotated[
        str | None, typer.Option("--to", help="The revision's number or name; by default the one before.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    dry_run: DryRunOption = DryRun.NONE,
    output: Annotated[Format, typer.Option("--output", "-o", help="How the change is written.")] = Format.TABLE,
) -> None:
    """Put the inputs of an earlier revision back into the spec, after showing what that changes.

    Zones, replicas, weights, Service and gateway stay. The groups are then made again from the template that was
    stored, byte for byte.

    Exit codes: 0 done, 1 the revision does not exist or can't be asked for, or you said no, 2 the command line or
    kubeconfig is not usable, 3 the API server said no.
    """
    cluster = Target(namespace, context, kubeconfig)
    found = ask(cluster, lambda api, where: history_of(api, where, name))
    try:
        change = change_to(found, to)
    except (NoSuchRevisionError, CanNotRestoreError) as error:
        fail(str(error), Exit.INVALID)
    if change.operations:
        _show(found, change, output)
        if dry_run is DryRun.NONE:
            confirm(f"Roll {name} back to {change.target}? Groups that run another revision restart", yes=yes)
        tried = dry_run is DryRun.SERVER
        ask(cluster, lambda api, _: edits.send(api, found.raw, change.operations, dry_run=tried))
    if output is not Format.TABLE:
        write([_data(change, applied=bool(change.operations) and dry_run is DryRun.NONE)], output)
    note(_done(change, dry_run))


def change_to(found: History, to: str | None) -> Change:
    """What brings a resource to a revision. Raises NoSuchRevisionError or CanNotRestoreError."""
    target = _target(found, to)
    if not target.inputs:
        raise CanNotRestoreError(
            f"{target} stores no inputs, so there is no spec to go back to; set the fields by hand"
        )
    name, before = found.raw["metadata"]["name"], found.raw["spec"]
    now = template_inputs(found.cluster) if found.cluster is not None else None
    after = restored_spec(before, target.inputs, name=name, now=now)
    cluster = _accepted({**found.raw, "spec": after}, target)
    missed = [f"{each.path} ({shown(each.after)})" for each in differences(template_inputs(cluster), target.inputs)]
    if missed:
        raise CanNotRestoreError(
            f"{target} was made from values that this version of trireme can't put into a spec: {', '.join(missed)};"
            " set them by hand, or use the version of trireme that the operator has"
        )
    chosen = target.name if target.name != inputs_name(cluster) else None
    operations = [*edits.spec_edits(before, after), *edits.rendering_edits(found.raw, chosen)]
    return Change(target, before, after, operations)


def _target(found: History, to: str | None) -> Revision:
    if to is not None:
        return found.find(to)
    if found.cluster is None:  # back to what is accepted and runs
        running = [revision for revision in found.revisions if revision.zones]
        return running[-1] if running else found.find(None)
    asked = found.asked_for()
    if asked is None:  # the operator has not stored the newest one, or could not
        return found.find(None)
    before = found.before(asked)
    if before is None:
        raise NoSuchRevisionError(f"{asked} is the oldest that is kept: there is nothing to go back to")
    return before


def _accepted(raw: Obj, target: Revision) -> InferenceCluster:
    try:
        return parse(raw)
    except InvalidResource as error:
        raise CanNotRestoreError(
            f"with the inputs of {target} the spec would still be refused, so correct that first: {error}"
        ) from None


def _show(found: History, change: Change, output: Format) -> None:
    who = edits.keeper(found.raw)
    caveat = "make the change where the resource is kept as well, or the next sync brings the newer spec back"
    note(f"{who} writes this resource: {caveat}" if who else f"If a tool writes this resource from Git: {caveat}")
    if output is not Format.TABLE:
        return
    console, asked = out(), found.asked_for()
    print_diff(console, change.before, change.after, title="spec now", other_title=f"spec of {change.target}")
    if asked is not None:
        titles = (f"template of {asked}", f"template of {change.target}")
        print_diff(console, asked.template, change.target.template, title=titles[0], other_title=titles[1])


def _data(change: Change, *, applied: bool) -> Obj:
    return {
        "revision": change.target.number,
        "name": change.target.name,
        "applied": applied,
        "patch": change.operations,
        "spec": change.after,
    }


def _done(change: Change, dry_run: DryRun) -> str:
    if not change.operations:
        return f"The spec asks for {change.target} already"
    if dry_run is DryRun.SERVER:
        return f"The API server would take the change to {change.target}; nothing was stored"
    return f"The spec asks for {change.target} now; trireme history shows the zones that run it"
