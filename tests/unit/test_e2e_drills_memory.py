"""Where the memory of a container is limited, on both kinds of cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.drills import memory

ROOT = Path("/sys/fs/cgroup")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12:cpu,cpuacct:/c\n4:memory:/pods/pod1/abc\n0::/u\n", ROOT / "memory/pods/pod1/abc"),
        ("0::/pods/pod1/abc\n", ROOT / "pods/pod1/abc"),
    ],
)
def test_the_group_of_a_process_that_limits_its_memory(text: str, found: Path) -> None:
    assert memory.group_of(text, ROOT) == found


def test_a_process_without_such_a_group_is_an_error() -> None:
    with pytest.raises(ValueError, match="no cgroup that limits memory"):
        memory.group_of("3:cpu:/x\n", ROOT)
