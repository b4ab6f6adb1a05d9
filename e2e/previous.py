"""The previous release: which commit it is, and its files.

CHANGELOG.md names it: the first heading with a version, and below it the line ``Last commit: <hash>``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from e2e import cache
from e2e.host import CommandError, run
from e2e.images import builders

ROOT = Path(__file__).parents[1]

_RELEASE = re.compile(
    r"^## (?P<version>\d+\.\d+\.\d+)\b[^\n]*\n+Last commit: `(?P<commit>[0-9a-f]{40})`$", re.MULTILINE
)
_BUILD = """
import json, sys
from e2e import images

with open(sys.argv[1], "w") as answer:
    json.dump(str(images.build("operator")["operator"]), answer)
"""


class PreviousReleaseError(RuntimeError):
    """The previous release can't be had; the message says what is missing and the way out."""


@dataclass(frozen=True)
class Release:
    """A version and its last commit."""

    version: str
    commit: str


def previous_release(changelog: str | None = None) -> Release:
    """What CHANGELOG.md names as the newest release.

    Raises:
        PreviousReleaseError: no release in it names its last commit.

    """
    text = changelog if changelog is not None else (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = _RELEASE.search(text)
    if found is None:
        raise PreviousReleaseError(
            "CHANGELOG.md names no release with its commit: below `## X.Y.Z - date` stands Last commit: `40 digits`"
        )
    return Release(found["version"], found["commit"])


def unpack(release: Release, into: Path) -> Path:
    """The files of a release, in a directory that is made for them.

    Raises:
        PreviousReleaseError: this clone does not hold the commit.

    """
    into.mkdir(parents=True)
    archive = into.with_suffix(".tar")
    try:
        run(["git", "archive", "--format=tar", f"--output={archive}", release.commit], cwd=ROOT)
    except CommandError as error:
        raise PreviousReleaseError(
            f"this clone does not hold {release.commit}, the last commit of {release.version}: fetch the whole history"
            f" (git fetch --unshallow; fetch-depth: 0 in a workflow). git says: {error.output.strip()}"
        ) from error
    with tarfile.open(archive) as files:
        files.extractall(into, filter="data")
    archive.unlink()
    return into


def operator(release: Release, files: Path) -> Path:
    """The archive of the release's operator, built once: a release never changes.

    Kept apart from the archives of this version, of which the cache drops all but the newest.

    Raises:
        CommandError: the build failed.

    """
    key = cache.key(release.commit, builders.choose().identity)
    target = cache.entry("releases", f"operator-{release.version}-{key}")
    with cache.building(target) as scratch:
        if scratch is not None:
            built = _build_operator(files)
            try:
                os.link(built, scratch / built.name)
            except OSError:  # a file system without links
                shutil.copyfile(built, scratch / built.name)
    (archive,) = target.iterdir()
    return archive


def _build_operator(files: Path) -> Path:
    """Built from a release's files by the release's own build."""
    answer = files.with_suffix(".json")
    run([sys.executable, "-c", _BUILD, answer], cwd=files, env={"PYTHONPATH": str(files)})
    return Path(json.loads(answer.read_text(encoding="utf-8")))
