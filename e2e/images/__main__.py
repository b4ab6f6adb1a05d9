"""``python -m e2e.images``: build images, or say which there are."""

from __future__ import annotations

from typing import Annotated

import typer

from e2e import host, images, progress
from e2e.images import builders

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command("build")
def build_images(
    targets: Annotated[list[str] | None, typer.Argument(help="Names; all of them by default.")] = None,
) -> None:
    """Build images into archives (nothing happens where an archive is up to date) and print their paths."""
    try:
        archives = images.build(*(targets or ()))
    except (images.UnknownTargetError, host.HostError, host.CommandError) as error:
        progress.console.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from error
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
    """Free the disk space of layers that only older builds used (gigabytes, after work on the engine's image)."""
    with progress.step("Removing unused layers", expected_seconds=10):
        builders.choose().prune()


if __name__ == "__main__":
    app()
