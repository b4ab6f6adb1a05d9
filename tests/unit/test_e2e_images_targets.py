"""Dockerfiles and the table of images agree: a file that is copied but not declared would leave a stale archive."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2e import cache
from e2e.images.dockerfile import UnknownStageError, closure
from e2e.images.targets import REPOSITORY, TARGETS, Target

FILE = """\
# a comment
ARG BASE=one
FROM scratch AS wheels
FROM ${BASE} AS python
RUN first
FROM python AS build
RUN --mount=type=bind,from=wheels,target=/wheels second
FROM --platform=linux/amd64 python AS final
COPY --from=build /a /b
FROM scratch AS other
COPY x /
"""


def copied(target: Target) -> set[str]:
    """What the target's stages copy from the build context."""
    lines = closure(target.dockerfile.read_text(), target.last_stage).replace("\\\n", " ").splitlines()
    words = [line.split()[1:] for line in lines if re.match(r"(COPY|ADD)\s", line) and "--from=" not in line]
    return {word for row in words for word in row[:-1] if not word.startswith("--")}


def test_a_stage_comes_with_its_parents_and_with_what_it_copies_or_mounts_from() -> None:
    assert closure(FILE, "final") == "".join(FILE.partition("ARG")[1:]).partition("FROM scratch AS other")[0]


def test_a_stage_comes_without_its_siblings() -> None:
    assert closure(FILE, "python") == "ARG BASE=one\nFROM ${BASE} AS python\nRUN first\n"


def test_a_comment_is_no_part_of_a_stage() -> None:
    assert closure("FROM a AS b\n# why\nRUN c\n", "b") == closure("FROM a AS b\nRUN c\n", "b")


def test_a_missing_stage_is_named_with_those_that_exist() -> None:
    with pytest.raises(UnknownStageError, match="no stage 'fnal'; it has wheels, python, build, final, other"):
        closure(FILE, "fnal")


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_every_file_that_an_image_copies_counts_for_its_cache_key(target: Target) -> None:
    declared = {"program"} if target.program else set(target.inputs)
    assert copied(target) == declared


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_every_lock_file_whose_wheels_are_mounted_is_copied_too(target: Target) -> None:
    mounted = "from=wheels" in closure(target.dockerfile.read_text(), target.last_stage)
    assert set(target.locks) == {path for path in target.inputs if path.endswith(".lock")}
    assert mounted == bool(target.locks)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_the_build_context_lets_every_input_through(target: Target) -> None:
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [re.escape(rule[1:]).replace(r"\*", "[^/]*") for rule in rules if rule.startswith("!")]
    allowed = re.compile("|".join(f"({pattern})(/.*)?$" for pattern in patterns))
    assert rules[0] == "*"
    assert [path for path in target.inputs if not allowed.match(path)] == []


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_no_image_runs_as_root(target: Target) -> None:
    text = closure(target.dockerfile.read_text(), target.last_stage)
    _, found, own = text.partition(f" AS {target.last_stage}\n")
    assert found
    assert "\nUSER 65532:65532\n" in own.partition("\nFROM ")[0]


@pytest.mark.parametrize("lock", sorted((REPOSITORY / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_every_requirement_is_pinned_by_version_and_hash(lock: object) -> None:
    text = re.sub(r"#.*", "", lock.read_text()).replace("\\\n", " ")  # type: ignore[attr-defined]
    rows = [row for row in text.splitlines() if row.strip()]
    assert rows
    assert [row for row in rows if not re.match(r"^[\w.\[\]-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", row)] == []


def test_what_tools_keep_beside_the_sources_is_no_part_of_a_key(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/main.py").write_text("one")
    before = cache.key(tmp_path)
    for folder in (".ruff_cache/0.1", "package/__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text("kept")
    assert cache.key(tmp_path) == before
    (tmp_path / "package/main.py").write_text("two")
    assert cache.key(tmp_path) != before
