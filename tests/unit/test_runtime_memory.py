"""Killed for memory: read from the counters of either version of cgroups, laid out as a kernel shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trireme_runtime.memory import MemoryWatch, own_cgroup
from trireme_runtime.termination import Cause, engine_exited

GIB = 1 << 30
POD = "/kubepods.slice/pod1/cri-1.scope"


class Kernel:
    """A file system with the cgroup of a container, seen as the root of its mount or at its path on the node."""

    def __init__(self, root: Path, version: int, *, own_root: bool, limit: int | None = 2 * GIB) -> None:
        self.root, self.version, self.limit = root, version, limit
        path = "/" if own_root else POD
        (root / "proc/self").mkdir(parents=True)
        lines = [f"0::{path}"] if version == 2 else [f"4:cpu,cpuacct:{path}", f"3:memory:{path}", "0::/"]
        (root / "proc/self/cgroup").write_text("\n".join(lines) + "\n")
        mount = root / ("sys/fs/cgroup" if version == 2 else "sys/fs/cgroup/memory")
        self.directory = mount / path.lstrip("/")
        self.directory.mkdir(parents=True)
        self.count(kills=0, hits=0)

    def count(self, *, kills: int, hits: int, peak: int | None = GIB) -> None:
        if self.version == 2:
            events = f"low 0\nhigh 3\nmax 9\noom {hits}\noom_kill {kills}\noom_group_kill 0\n"
            files = {"memory.events": events, "memory.max": "max" if self.limit is None else str(self.limit)}
        else:
            files = {
                "memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n",
                "memory.failcnt": str(hits),
                "memory.limit_in_bytes": str(9223372036854771712 if self.limit is None else self.limit),
            }
        for name, text in files.items():
            (self.directory / name).write_text(text + "\n")
        if peak is not None:
            name = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
            (self.directory / name).write_text(f"{peak}\n")

    def watch(self) -> MemoryWatch:
        return MemoryWatch(own_cgroup(self.root))


@pytest.fixture(params=[(1, True), (1, False), (2, True), (2, False)], ids=["v1", "v1 node path", "v2", "v2 node path"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Kernel:
    version, own_root = request.param
    return Kernel(tmp_path, version, own_root=own_root)


def test_a_kill_at_the_limit_is_the_first_cause_with_the_limit(kernel: Kernel) -> None:
    kernel.count(kills=4, hits=9)
    watch = kernel.watch()
    kernel.count(kills=5, hits=12)
    cause = watch.explain(engine_exited(-9, ["last line"]))
    assert (cause.reason, cause.signal, cause.log) == ("OOMKilled", "SIGKILL", ("last line",))
    assert cause.message == (
        "the container was at its memory limit of 2 GiB (raise spec.resources.limits.memory), and the kernel killed a"
        " process of the engine;"
        " the engine was ended by SIGKILL"
    )


def test_an_engine_that_ends_well_after_a_rank_was_killed_says_so_too(kernel: Kernel) -> None:
    watch = kernel.watch()
    kernel.count(kills=1, hits=1)
    cause = watch.explain(engine_exited(0, []))
    assert (cause.reason, cause.exit_code) == ("OOMKilled", 0)
    stalled = watch.explain(Cause("Stalled", "1 requests run"))
    assert (stalled.reason, "1 requests run" in stalled.message) == ("OOMKilled", True)


def test_a_kill_below_the_limit_was_the_nodes(kernel: Kernel) -> None:
    watch = kernel.watch()
    kernel.count(kills=1, hits=0)
    assert watch.explain(engine_exited(-9, [])).message.startswith("the node ran out of memory")


def test_a_kill_at_the_pods_limit_is_one_at_the_containers(kernel: Kernel) -> None:
    watch = kernel.watch()
    # The sandbox takes a little of the pod's limit, which is the container's own: the pod's cgroup counts the hit.
    kernel.count(kills=1, hits=0, peak=2 * GIB - (1 << 20))
    assert "at its memory limit of 2 GiB" in watch.explain(engine_exited(-9, [])).message


def test_where_the_kernel_tells_no_peak_both_limits_are_named(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, 2, own_root=True)
    (kernel.directory / "memory.peak").unlink()
    watch = kernel.watch()
    kernel.count(kills=1, hits=0, peak=None)
    assert "limit of 2 GiB or the node's memory was used up" in watch.explain(engine_exited(-9, [])).message


def test_kills_and_hits_of_before_explain_nothing(kernel: Kernel) -> None:
    kernel.count(kills=3, hits=3)
    watch = kernel.watch()
    kernel.count(kills=3, hits=50)
    cause = engine_exited(-9, [])
    assert watch.explain(cause) == cause
    assert cause.reason == "EngineKilled"


@pytest.mark.parametrize("version", [1, 2])
def test_without_a_limit_none_is_named(tmp_path: Path, version: int) -> None:
    kernel = Kernel(tmp_path, version, own_root=True, limit=None)
    watch = kernel.watch()
    kernel.count(kills=1, hits=1)
    assert "at its memory limit (raise" in watch.explain(engine_exited(-9, [])).message


def test_where_nothing_is_counted_nothing_is_explained(tmp_path: Path) -> None:
    cause = engine_exited(1, [])
    assert MemoryWatch(own_cgroup(tmp_path)).explain(cause) == cause
    killed = MemoryWatch(own_cgroup(tmp_path)).explain(engine_exited(-9, []))
    assert (killed.reason, killed.message.endswith("the kernel did it")) == ("EngineKilled", True)
    old = Kernel(tmp_path, 1, own_root=True)
    (old.directory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\n")
    assert own_cgroup(tmp_path) is None


def test_counters_that_vanish_explain_nothing(kernel: Kernel) -> None:
    watch = kernel.watch()
    for path in kernel.directory.iterdir():
        path.unlink()
    cause = engine_exited(1, [])
    assert watch.explain(cause) == cause
