"""``trireme status``: a resource as a tree of zones, groups and pods, with what their launchers say."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.live import Live

from trireme_operator.cli.cluster import Context, Kubeconfig, Name, Namespace, Target, ask
from trireme_operator.cli.observed import NO_RIGHT, Observed, observe
from trireme_operator.cli.output import Format, note, out, write
from trireme_operator.cli.status_data import data
from trireme_operator.cli.status_tree import tree

if TYPE_CHECKING:
    from trireme_operator.kube import UserApi

_LOOK_SECONDS: Final = 2.0

ShowFn = Callable[[Observed], None]


def status(
    name: Name,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every 2 s, until interrupted.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How it is written.")] = Format.TABLE,
) -> None:
    """Show how a resource is: zones with their weight, groups, and pods with the stage that each launcher is in.

    The launchers are asked through the API server, which takes the right to get pods/proxy. With --watch and an output
    that is no terminal, each change is written: a tree, a line of JSON, or a document of YAML.

    Exit codes: 0 done, 2 the command line or kubeconfig is not usable, 3 the API server said no.
    """
    target = Target(namespace, context, kubeconfig)
    if not watch:
        found = ask(target, lambda api, where: observe(api, where, name))
        _show(found, output)
        _remark(found)
        return
    try:
        ask(target, lambda api, where: _watch(api, where, name, output))
    except KeyboardInterrupt:
        return


async def _watch(api: UserApi, namespace: str, name: str, output: Format) -> None:
    """For ever; ends with an error of the client when the first look fails, or when the resource is gone."""
    found = await observe(api, namespace, name)
    _remark(found)
    if output is not Format.TABLE or not sys.stdout.isatty():
        await _follow(api, found, _changes(output))
        return
    with Live(tree(found, _now()), console=out(), auto_refresh=False) as live:
        await _follow(api, found, lambda latest: live.update(tree(latest, _now()), refresh=True))


async def _follow(api: UserApi, found: Observed, show: ShowFn) -> None:
    from trireme_operator.kube import KubeError, NotFound  # noqa: PLC0415 - see `cluster.ask`

    metadata, complaint = found.raw["metadata"], ""
    while True:
        show(found)
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            found = await observe(api, metadata["namespace"], metadata["name"])
            complaint = ""
        except NotFound:
            raise
        except KubeError as error:
            if str(error) != complaint:
                note(f"{error}; what is shown is the last that was seen")
            complaint = str(error)


def _changes(output: Format) -> ShowFn:
    """Shows what differs from what was shown before, apart from ages."""
    shown: list[dict[str, Any]] = []

    def show(found: Observed) -> None:
        latest = data(found)
        if [latest] != shown:
            shown[:] = [latest]
            if output is Format.JSON:
                sys.stdout.write(json.dumps(latest, ensure_ascii=False) + "\n")
            else:
                if output is Format.YAML:
                    sys.stdout.write("---\n")
                _show(found, output)
            sys.stdout.flush()

    return show


def _show(found: Observed, output: Format) -> None:
    if output is Format.TABLE:
        out().print(tree(found, _now()))
    elif output is Format.JSON:
        sys.stdout.write(json.dumps(data(found), indent=2, ensure_ascii=False) + "\n")
    else:
        write([data(found)], output)


def _remark(found: Observed) -> None:
    if found.may_not_ask:
        note(f"Some stages are unknown: {NO_RIGHT} (get) in namespace {found.raw['metadata']['namespace']}")


def _now() -> datetime:
    return datetime.now(UTC)
