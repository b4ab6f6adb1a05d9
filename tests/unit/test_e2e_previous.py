"""The previous release is found by what CHANGELOG.md says, and its absence is told with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

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
