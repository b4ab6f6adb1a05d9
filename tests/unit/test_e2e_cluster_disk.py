"""Room on the disk, before anything is built."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from e2e.cluster import ClusterError, disk
from e2e.cluster.local import LocalCluster

MEGABYTE = 10**6


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What is free; a test sets it."""
    space = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _directory: space)
    return space


def test_a_directory_that_is_not_there_yet_lies_on_its_parents_disk(tmp_path: Path) -> None:
    disk.require_room(tmp_path / "not" / "there", needed=1)


def test_too_little_is_told_with_what_is_needed_and_the_way_out(tmp_path: Path, free: SimpleNamespace) -> None:
    free.free = 3_000 * MEGABYTE
    with pytest.raises(ClusterError) as error:
        disk.require_room(tmp_path)
    assert "has 3.0 GB free: images and nodes take 25.0 GB" in str(error.value)
    assert "free 22.0 GB, or set TRIREME_CACHE to a directory on a larger disk" in str(error.value)


def test_what_is_built_already_counts(tmp_path: Path, free: SimpleNamespace) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "archive").write_bytes(b"x" * 2 * MEGABYTE)
    free.free = 9 * MEGABYTE
    disk.require_room(tmp_path, needed=10 * MEGABYTE)
    with pytest.raises(ClusterError, match="GB are there already"):
        disk.require_room(tmp_path, needed=12 * MEGABYTE)


def test_the_local_cluster_looks_before_it_builds(
    tmp_path: Path, free: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("e2e.cluster.local.ensure_packages", lambda *_names: pytest.fail("something was installed"))
    with pytest.raises(ClusterError, match=f"the disk of {tmp_path} has 0.0 GB free"):
        LocalCluster("trireme-unit", {"node-a": "zone-a"}).up()
