"""``python -m e2e.components install|remove [PART...]`` on the cluster that ``e2e.cluster`` chooses."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from e2e import components
from e2e.cluster import Cluster, choose


class Part(StrEnum):
    """A part of the cluster by its name on the command line."""

    LWS = "lws"
    GATEWAY = "gateway"
    METRICS_SERVER = "metrics-server"


_INSTALL: dict[Part, Callable[[Cluster], None]] = {
    Part.LWS: components.install_lws,
    Part.GATEWAY: components.install_gateway,
    Part.METRICS_SERVER: components.install_metrics_server,
}
_REMOVE: dict[Part, Callable[[Cluster], None]] = {
    Part.LWS: components.remove_lws,
    Part.GATEWAY: components.remove_gateway,
    Part.METRICS_SERVER: components.remove_metrics_server,
}

app = typer.Typer(help=__doc__, no_args_is_help=True)
Parts = Annotated[list[Part] | None, typer.Argument(help="default: all of them")]


@app.command()
def install(parts: Parts = None) -> None:
    """Install or repair parts of the cluster; their images must be on its nodes."""
    if not parts:
        components.install(choose())
    for part in parts or ():
        _INSTALL[part](choose())


@app.command()
def remove(parts: Parts = None) -> None:
    """Remove parts of the cluster with everything that was made of their kinds."""
    # metrics-server first: a namespace cannot end while an API of the cluster does not answer.
    for part in parts or reversed(Part):
        _REMOVE[part](choose())


if __name__ == "__main__":
    app()
