"""``python -m e2e.images``: build images, or say which there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from e2e import host, images, progress

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (images.UnknownTargetError, host.HostError, host.CommandError) as error:
        progress.console.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from error


@app.command("build")
def build_images(
    targets: Annotated[list[str] | None, typer.Argument(help="Names; all of them by default.")] = None,
) -> None:
    """Build images into archives (nothing happens where an archive is up to date) and print their paths."""
    with _reported():
        archives = images.build(*(targets or ()))
    for name, archive in archives.items():
        mebibytes = archive.stat().st_size / 2**20
        progress.console.print(f"{images.TARGETS[name].tag}  {archive}  {mebibytes:.0f} MiB", markup=False)


@app.command("list")
def list_images() -> None:
    """Print the name and tag of every image."""
    for target in images.TARGETS.values():
        progress.console.print(f"{target.name:16} {target.tag}", markup=False)


@app.command()
def prune() -> None:
    """Free what later builds do not need: old layers and wheels (gigabytes). Not while something is built."""
    with _reported(), progress.step("Removing unused layers and wheels", expected_seconds=10):
        images.prune()


if __name__ == "__main__":
    app()
