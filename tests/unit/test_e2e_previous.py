"""The previous release is found by what CHANGELOG.md says, and its absence is told with the way out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from e2e import previous
from e2e.images import builders
from e2e.previous import PreviousReleaseError, Release, previous_release, unpack

CHANGELOG = """# Changes

## Unreleased

### Added
- Something.

## 0.2.0 - 2027-01-01

Last commit: `{new}`

## 0.1.0 - 2026-11-21

Last commit: `{old}`
"""


def test_the_newest_release_is_the_previous_one() -> None:
    text = CHANGELOG.format(new="a" * 40, old="b" * 40)
    assert previous_release(text) == Release("0.2.0", "a" * 40)


def test_the_projects_own_changelog_names_one() -> None:
    assert len(previous_release().commit) == 40


def test_a_changelog_without_a_commit_is_an_error_that_says_what_belongs_there() -> None:
    with pytest.raises(PreviousReleaseError, match="Last commit"):
        previous_release("# Changes\n\n## 0.1.0 - 2026-11-21\n\nThe first.\n")


def test_a_clone_without_the_commit_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(PreviousReleaseError, match=r"does not hold 0000.*git fetch --unshallow"):
        unpack(Release("9.9.9", "0" * 40), tmp_path / "files")


def test_a_release_is_unpacked_whole(tmp_path: Path) -> None:
    files = unpack(previous_release(), tmp_path / "files")
    assert (files / "operator/trireme_operator/main.py").exists()
    assert list(files.glob("tests/golden/*/input.yaml"))


def test_the_operator_of_a_release_is_built_once_for_each_commit_and_builder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []

    def build(files: Path) -> Path:
        built.append(files)
        archive = tmp_path / f"{len(built)}" / "image.tar"
        archive.parent.mkdir()
        archive.write_text(f"build {len(built)}")
        return archive

    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(previous, "_build_operator", build)
    monkeypatch.setattr(builders, "choose", lambda: SimpleNamespace(identity="one"))
    release = Release("0.2.0", "a" * 40)

    first = previous.operator(release, tmp_path)
    (tmp_path / "1/image.tar").unlink()  # as the cache drops it for newer builds
    assert previous.operator(release, tmp_path) == first
    assert first.read_text() == "build 1"

    assert previous.operator(Release("0.2.0", "b" * 40), tmp_path).read_text() == "build 2"
    monkeypatch.setattr(builders, "choose", lambda: SimpleNamespace(identity="other"))
    assert previous.operator(release, tmp_path).read_text() == "build 3"
