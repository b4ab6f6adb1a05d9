"""Two caches on one machine share the names of a cluster's namespaces: only the owner may touch them."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.cluster import ClusterError, owner


def state(root: Path) -> Path:
    found = root / "clusters" / "trireme-local"
    found.mkdir(parents=True)
    return found


def test_the_owner_comes_back_and_another_cache_is_told_whose_it_is(tmp_path: Path) -> None:
    run, mine, theirs = tmp_path / "run" / "trireme-local", state(tmp_path / "mine"), state(tmp_path / "theirs")
    owner.require_own(run, theirs)
    owner.claim(run, mine)
    owner.claim(run, mine)

    for refused in (owner.claim, owner.require_own):
        with pytest.raises(ClusterError, match=rf"TRIREME_CACHE={tmp_path / 'mine'} make down"):
            refused(run, theirs)
    owner.require_own(run, mine)


def test_a_cluster_whose_files_are_gone_belongs_to_whoever_comes(tmp_path: Path) -> None:
    run, mine, theirs = tmp_path / "run" / "trireme-local", tmp_path / "mine" / "gone", state(tmp_path / "theirs")
    owner.claim(run, mine)

    owner.claim(run, theirs)

    owner.require_own(run, theirs)
