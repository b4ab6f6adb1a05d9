"""The cluster on the command line: ``python -m e2e.cluster up``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from e2e.cluster import choose
from e2e.cluster.context import refuse_elsewhere
from e2e.ending import explained
from e2e.progress import console
from e2e.toolchain import binary

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}

app = typer.Typer(help="The project's own Kubernetes cluster; no other is ever touched.", no_args_is_help=True)
node_app = typer.Typer(help="Let a node die, and bring it back.", no_args_is_help=True)
zone_app = typer.Typer(help="Cut a zone off the network, and heal it.", no_args_is_help=True)
app.add_typer(node_app, name="node")
pods_app = typer.Typer(help="Keep two pods apart, and join them.", no_args_is_help=True)
app.add_typer(zone_app, name="zone")
app.add_typer(pods_app, name="pods")

Words = Annotated[list[str], typer.Argument(help="What is passed on.")]


@app.command()
def up() -> None:
    """Start the cluster, or what is missing of it."""
    cluster = choose()
    cluster.up()
    console.print(f"{cluster.name} is up: python -m e2e.cluster kubectl -- get nodes")


@app.command()
def down(
    *,
    keep_images: Annotated[bool, typer.Option(help="Keep the images on the nodes for the next start.")] = False,
) -> None:
    """Take the cluster down; leaves nothing behind."""
    choose().down(keep_images=keep_images)


@app.command()
def status() -> None:
    """Say what runs; exits with 1 unless the API server is ready."""
    cluster = choose()
    state = cluster.status()
    console.print(f"{cluster.name}: {'running' if state.running else 'down'}")
    for node in state.nodes:
        cut = "  zone is cut off" if node.zone in state.cut_zones else ""
        console.print(f"  {node.name}  {node.zone}  {'Ready' if node.ready else 'NotReady'}{cut}")
    raise typer.Exit(0 if state.api_ready else 1)


@app.command(context_settings=_PASS_ON)
def kubectl(words: Words) -> None:
    """Run kubectl on the cluster."""
    _become(choose().kubectl_command(*words))


@app.command(context_settings=_PASS_ON)
def helm(words: Words) -> None:
    """Run Helm on the cluster."""
    cluster = choose()
    refuse_elsewhere(words)
    _become(cluster.command(str(binary("helm")), f"--kubeconfig={cluster.kubeconfig()}", *words))


@app.command("exec", context_settings=_PASS_ON)
def execute(words: Words) -> None:
    """Run a program where the cluster's addresses are reachable."""
    _become(choose().command(*words))


@app.command("load-image")
def load_image(archive: Path, node: Annotated[list[str] | None, typer.Option(help="Only this node.")] = None) -> None:
    """Load an image archive into the nodes that lack it."""
    choose().load_image(archive, nodes=node or ())


@node_app.command("stop")
def node_stop(name: str) -> None:
    """Stop a node as a power cut does."""
    choose().stop_node(name)


@node_app.command("start")
def node_start(name: str) -> None:
    """Start a node and wait until it is Ready."""
    choose().start_node(name)


@zone_app.command("cut")
def zone_cut(name: str) -> None:
    """Cut a zone off."""
    choose().cut_zone(name)


@zone_app.command("heal")
def zone_heal(name: str) -> None:
    """Undo a cut."""
    choose().heal_zone(name)


@pods_app.command("split")
def pods_split(one: str, other: str) -> None:
    """Drop everything between two pods' addresses."""
    choose().split_pods([one], [other])


@pods_app.command("join")
def pods_join() -> None:
    """Undo a split."""
    choose().join_pods()


def _become(argv: list[str]) -> None:
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606  (an argv list, without a shell)


def main() -> None:
    """Run the command; what its user can put right is said without a traceback."""
    explained(app)


if __name__ == "__main__":
    main()
