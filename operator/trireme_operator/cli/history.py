"""``trireme history``: which templates the groups of a resource were made from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from trireme_operator.cli.cluster import Context, Kubeconfig, Name, Namespace, Target, ask
from trireme_operator.cli.output import Format, note, out, write
from trireme_operator.cli.revisions import History, Revision, changes, history_of, shown

_SHOWN_CHANGES = 8


def history(
    name: Name,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="How the history is written.")] = Format.TABLE,
) -> None:
    """Show the revisions of a resource: number, age, the zones that run each, and what each changed.

    The revision that the spec asks for is marked with a star.

    Exit codes: 0 done, 2 the command line or kubeconfig is not usable, 3 the API server said no.
    """
    found = ask(Target(namespace, context, kubeconfig), lambda api, where: history_of(api, where, name))
    if output is not Format.TABLE:
        write(_data(found), output)
        return
    out().print(_table(found, datetime.now(UTC)))
    if found.refusal:
        note(f"The spec is refused, and the groups go on as before: {found.refusal}")
    if found.newer_rendering:
        note(
            f"This version of the operator renders the same spec in another way, as {found.newer_rendering}; "
            f"trireme upgrade-rendering {name} moves to it"
        )


def age(since: timedelta) -> str:
    """A duration in its largest unit, as kubectl shows an age: 90 s, 12m, 5h, 3d."""
    seconds = int(since.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{max(0, seconds)}s"


def _table(found: History, now: datetime) -> Table:
    table = Table("", "revision", "name", "age", "zones", "what changed")
    for revision in found.revisions:
        star = "*" if revision.name == found.wanted else ""
        cells = (star, str(revision.number), revision.name, age(now - revision.created), ", ".join(revision.zones))
        table.add_row(*(Text(cell) for cell in (*cells, _changed(found, revision))))
    table.columns[-1].overflow = "fold"
    return table


def _changed(found: History, revision: Revision) -> str:
    before = found.before(revision)
    if before is None:
        return "the oldest that is kept"
    texts = [f"{each.path}: {shown(each.before)} -> {shown(each.after)}" for each in changes(before, revision)]
    more = len(texts) - _SHOWN_CHANGES
    return "\n".join(texts[:_SHOWN_CHANGES] + ([f"and {more} more: trireme diff shows them"] if more > 0 else []))


def _data(found: History) -> list[dict[str, Any]]:
    return [
        {
            "revision": revision.number,
            "name": revision.name,
            "created": revision.created.isoformat(),
            "zones": list(revision.zones),
            "wanted": revision.name == found.wanted,
            "changes": [
                {"path": each.path, "before": each.before, "after": each.after}
                for each in changes(found.before(revision), revision)
            ],
        }
        for revision in found.revisions
    ]
