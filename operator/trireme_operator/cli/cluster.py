"""What the commands that ask a cluster have in common: how it is found, and what is read of a resource."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from trireme_operator.cli.output import Exit, fail

if TYPE_CHECKING:
    from trireme_operator.kube import UserApi

T = TypeVar("T")

Name = Annotated[str, typer.Argument(help="The InferenceCluster.", metavar="NAME")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Its namespace; by default that of the kubeconfig's context.")
]
Context = Annotated[str | None, typer.Option("--context", help="The context of the kubeconfig.")]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", help="The kubeconfig; by default $KUBECONFIG, then ~/.kube/config.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


class DryRun(StrEnum):
    """Whether a change is only tried."""

    NONE = "none"
    SERVER = "server"


DryRunOption = Annotated[
    DryRun, typer.Option("--dry-run", help="server: the API server judges the change and stores nothing.")
]


@dataclass(frozen=True)
class Target:
    """Which cluster and namespace a command speaks of."""

    namespace: str | None
    context: str | None
    kubeconfig: str | None


def ask(target: Target, work: Callable[[UserApi, str], Awaitable[T]]) -> T:
    """Do what a command does with a connection and a namespace; a failure ends the program with its reason."""
    # The client takes a second to load, which `validate` in a hook of Git should not pay.
    from trireme_operator.kube import ApiMissing, KubeconfigError, KubeError, connect_user  # noqa: PLC0415

    async def run() -> T:
        user = await connect_user(target.kubeconfig, target.context)
        try:
            return await work(user.api, target.namespace or user.namespace)
        finally:
            await user.api.close()

    try:
        return asyncio.run(run())
    except KubeconfigError as error:
        fail(str(error))
    except ApiMissing as error:
        fail(f"{error}; is Trireme installed in this cluster?", Exit.CLUSTER)
    except KubeError as error:
        fail(str(error), Exit.CLUSTER)


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless told not to; anything but a yes ends the program, and so does an end of the input."""
    if not yes and not typer.confirm(question):
        fail("nothing was changed", Exit.INVALID)


def generation_of(raw: dict[str, Any]) -> int:
    """The generation of a resource's spec."""
    return int(raw["metadata"].get("generation") or 0)
