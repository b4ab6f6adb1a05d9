"""Build images into archives that stay in the cache until something they are made from changes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e import cache, progress, toolchain
from e2e.images import builders, dockerfile, wheelhouse
from e2e.images.builders import Builder, Recipe
from e2e.images.targets import REPOSITORY, TARGETS, Target

_KEPT_ARCHIVES = 2
"""Per image: the newest, and the one before it that a running cluster may be reading."""


class UnknownTargetError(ValueError):
    """A name that no image has."""


def build(*names: str) -> dict[str, Path]:
    """Build the named images, or all of them, and return the archive of each; takes no time where it exists.

    Raises:
        UnknownTargetError: a name is not in ``targets.TARGETS``.
        host.CommandError: a build failed; its whole output is in ``images/logs`` of the cache.
        host.HostError: the machine has neither Docker nor what buildah needs.

    """
    for name in names:
        if name not in TARGETS:
            raise UnknownTargetError(f"no image is called {name!r}; there are {', '.join(TARGETS)}")
    return {name: _archive(TARGETS[name]) for name in names or TARGETS}


def prune() -> None:
    """Free what only older builds used: layers of the builder, wheels of earlier lock files."""
    builders.choose().prune()
    wheelhouse.prune(*(_locks(target) for target in TARGETS.values() if target.locks))


def _archive(target: Target) -> Path:
    builder = builders.choose()
    program = toolchain.binary(target.program) if target.program else None
    entry = cache.entry("images", f"{target.name}-{_key(target, builder, program)}")
    archive = entry / "image.tar"
    if archive.exists():
        return archive
    with cache.building(entry) as scratch:
        if scratch is not None:
            _build(target, builder, program, scratch / archive.name)
    _prune(entry)
    return archive


def _key(target: Target, builder: Builder, program: Path | None) -> str:
    stages = dockerfile.closure(target.dockerfile.read_text(), target.last_stage)
    inputs = [REPOSITORY / path for path in target.inputs]
    # The path of a program in the cache holds the key of all that it was built from.
    return cache.key(builder.identity, target.tag, stages, str(program), *inputs)


def _build(target: Target, builder: Builder, program: Path | None, archive: Path) -> None:
    contexts = {"wheels": wheelhouse.wheels(*_locks(target))} if target.locks else {}
    builder.prepare()
    log = cache.entry("images", "logs") / f"{target.name}.log"
    log.unlink(missing_ok=True)
    with (
        _context(program) as context,
        progress.step(f"Building {target.tag}", expected_seconds=target.expected_seconds),
    ):
        recipe = Recipe(
            tag=target.tag,
            dockerfile=target.dockerfile,
            stage=target.last_stage,
            context=context,
            contexts=contexts,
            # Everything pinned is in the directory of wheels: a build that asks the network is one with a mistake.
            arguments={"PIP_NO_INDEX": "1"} if contexts else {},
        )
        builder.build(recipe, archive, log)


def _locks(target: Target) -> list[Path]:
    return [REPOSITORY / lock for lock in target.locks]


@contextmanager
def _context(program: Path | None) -> Iterator[Path]:
    if program is None:
        yield REPOSITORY
        return
    with tempfile.TemporaryDirectory(prefix="context-", dir=cache.root()) as folder:
        staged = Path(folder) / "program"
        try:
            os.link(program.resolve(), staged)
        except OSError:  # another file system
            shutil.copy2(program, staged)
        yield Path(folder)


def _prune(newest: Path) -> None:
    name = newest.name.rpartition("-")[0]
    entries = [path for path in newest.parent.glob(f"{name}-*") if path.name.rpartition("-")[0] == name]
    for path in sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT_ARCHIVES:]:
        shutil.rmtree(path, ignore_errors=True)
