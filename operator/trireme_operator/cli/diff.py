"""``trireme diff``: what two revisions of a resource do differently."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from trireme_operator.cli.cluster import Context, Kubeconfig, Name, Namespace, Target, ask
from trireme_operator.cli.output import Exit, Format, fail, note, out, to_yaml, write
from trireme_operator.cli.revisions import History, NoSuchRevisionError, Revision, history_of
from trireme_operator.planning import differences

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


class DiffFormat(StrEnum):
    """How a difference is written."""

    DIFF = "diff"
    JSON = "json"
    YAML = "yaml"


def diff(
    name: Name,
    old: Annotated[
        str | None, typer.Argument(metavar="A", help="A revision's number or name; by default the one before B.")
    ] = None,
    new: Annotated[
        str | None, typer.Argument(metavar="B", help="The other revision; by default the one that the spec asks for.")
    ] = None,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Annotated[DiffFormat, typer.Option("--output", "-o", help="How it is written.")] = DiffFormat.DIFF,
) -> None:
    """Show what changes from revision A to revision B: the inputs from the spec, and the template made from them.

    Exit codes: 0 done, 1 there is no such revision, 2 the command line or kubeconfig is not usable, 3 the API server
    said no.
    """
    found = ask(Target(namespace, context, kubeconfig), lambda api, where: history_of(api, where, name))
    try:
        before, after = _pair(found, old, new)
    except NoSuchRevisionError as error:
        fail(str(error), Exit.INVALID)
    if output is not DiffFormat.DIFF:
        write([_data(before, after)], Format(output.value))
        return
    console = out()
    pairs = {"inputs": (before.inputs, after.inputs), "template": (before.template, after.template)}
    told = [
        print_diff(console, *pair, title=f"{what} of {before}", other_title=f"{what} of {after}")
        for what, pair in pairs.items()
    ]
    if not any(told):
        note(f"{before} and {after} are the same")


def print_diff(console: Console, one: Any, other: Any, *, title: str, other_title: str) -> int:
    """Print two trees as a unified diff of their YAML; returns the number of lines."""
    lines = list(unified(one, other, title, other_title))
    for line in lines:
        console.print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)
    return len(lines)


def unified(one: Any, other: Any, title: str, other_title: str) -> Iterator[str]:
    """Two trees as a unified diff of their YAML, line by line, keys in alphabetical order."""
    old, new = (to_yaml([_sorted(tree)]).splitlines() for tree in (one, other))
    return difflib.unified_diff(old, new, fromfile=title, tofile=other_title, lineterm="")


def _pair(found: History, old: str | None, new: str | None) -> tuple[Revision, Revision]:
    after = found.find(new) if new is not None else found.asked_for() or found.find(None)
    if old is not None:
        return found.find(old), after
    before = found.before(after)
    if before is None:
        raise NoSuchRevisionError(f"{after} is the oldest that is kept: there is nothing to compare it with")
    return before, after


def _sorted(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _sorted(tree[key]) for key in sorted(tree)}
    return [_sorted(item) for item in tree] if isinstance(tree, list) else tree


def _data(before: Revision, after: Revision) -> dict[str, Any]:
    def listed(one: Any, other: Any) -> list[dict[str, Any]]:
        found = differences(one, other)
        return [{"path": each.path, "before": each.before, "after": each.after} for each in found]

    return {
        "before": {"revision": before.number, "name": before.name},
        "after": {"revision": after.number, "name": after.name},
        "inputs": listed(before.inputs, after.inputs),
        "template": listed(before.template, after.template),
    }
