"""``trireme upgrade-rendering``: the same spec, rendered by the operator as it is now."""

from __future__ import annotations

from typing import Final

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
    generation_of,
)
from trireme_operator.cli.output import Exit, fail, note
from trireme_operator.cli.revisions import History, history_of

_WAIT: Final = "wait until the operator has seen it (kubectl get ic), and try again"


def upgrade_rendering(
    name: Name,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    yes: Yes = False,
    dry_run: DryRunOption = DryRun.NONE,
) -> None:
    """Move the groups of a resource to the template that this version of the operator makes of the same spec.

    An upgrade of the operator restarts no group: they stay on the template that they were made from. This is the
    choice to restart them on the new one. It is kept in the annotation trireme.dev/rendering, which counts until an
    input of the spec changes; trireme rollback takes it back.

    Exit codes: 0 done, 1 the operator has not seen the spec or refuses it, or you said no, 2 the command line or
    kubeconfig is not usable, 3 the API server said no.
    """
    cluster = Target(namespace, context, kubeconfig)
    found = ask(cluster, lambda api, where: history_of(api, where, name))
    newer = _newer(found)
    if newer is None:
        note(f"The operator would render what {name} asks for already; there is nothing to move to")
        return
    if dry_run is DryRun.NONE:
        confirm(f"Restart the groups of {name} on {newer}?", yes=yes)
    operations = edits.rendering_edits(found.raw, newer)
    ask(cluster, lambda api, _: edits.send(api, found.raw, operations, dry_run=dry_run is DryRun.SERVER))
    tried = dry_run is DryRun.SERVER
    note("The API server would take it; nothing was stored" if tried else f"{name} asks for {newer} now")


def _newer(found: History) -> str | None:
    raw = found.raw
    if found.refusal:
        fail(f"the spec is refused, so correct it first: {found.refusal}", Exit.INVALID)
    status = raw.get("status") or {}
    if status.get("observedGeneration") != generation_of(raw):
        fail(f"the status is of an earlier spec: {_WAIT}", Exit.INVALID)
    if status.get("revision") != found.wanted:
        fail(
            f"the status is of revision {status.get('revision')}, the spec asks for {found.wanted}: {_WAIT}",
            Exit.INVALID,
        )
    return found.newer_rendering
