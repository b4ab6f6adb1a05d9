"""A local cluster is taken apart and made again: a second one with a single node, beside the one that is in use."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.api import wait_until
from e2e.cluster import ClusterError, ContextError, cgroups, mounts
from e2e.cluster.local import LocalCluster, usable
from e2e.cluster.processes import end, marked
from e2e.host import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

__test__ = usable()

NAME = "trireme-trial"


@pytest.fixture(scope="module")
def trial() -> Iterator[LocalCluster]:
    cluster = LocalCluster(NAME, {"node-a": "zone-a"})
    cluster.down()
    yield cluster
    cluster.down()


def pids(cluster: LocalCluster) -> dict[str, str]:
    """What the pid files say."""
    return {str(path): path.read_text() for path in cluster.state.rglob("*.pid")}


def addresses(cluster: LocalCluster) -> list[str]:
    """The addresses of pods, as their kubelet has reported them so far."""
    query = ("get", "pods", "--all-namespaces", "--output=jsonpath={.items[*].status.podIP}")
    return sorted(cluster.kubectl(*query).split())


def leases(cluster: LocalCluster, node: str) -> list[str]:
    """The addresses that the node's network plugin holds."""
    return sorted(path.name for path in (cluster.nodes[node].directories.run / "leases").rglob("10.91.*"))


def test_it_is_up_in_less_than_a_minute(trial: LocalCluster) -> None:
    started = time.monotonic()
    trial.up()
    assert time.monotonic() - started < 60
    assert [(node.name, node.ready) for node in trial.status().nodes] == [("node-a", True)]


def test_it_is_found_again_by_another_program(trial: LocalCluster) -> None:
    trial.up()
    before = pids(trial)
    LocalCluster(NAME, {"node-a": "zone-a"}).up()
    assert pids(trial) == before


def test_it_comes_back_after_all_of_it_was_killed(trial: LocalCluster) -> None:
    trial.up()
    uid = trial.kubectl("get", "namespace", "default", "--output=jsonpath={.metadata.uid}")
    end(marked(NAME), grace_seconds=0)
    assert not trial.status().running
    trial.up()
    assert trial.status().nodes[0].ready
    assert trial.kubectl("get", "namespace", "default", "--output=jsonpath={.metadata.uid}") == uid


def test_it_comes_back_after_a_reboot(trial: LocalCluster) -> None:
    trial.up()
    node = trial.nodes["node-a"]
    end(marked(NAME), grace_seconds=0)
    end(cgroups.processes(NAME), grace_seconds=0)
    mounts.unmount(trial.state)
    cgroups.remove(NAME)
    trial.network.down()
    assert (node.directories.run / "leases").exists(), "on the disk remains what is said to be running"
    trial.up()
    assert trial.status().nodes[0].ready
    wait_until(
        lambda: bool(addresses(trial)) and addresses(trial) == leases(trial, "node-a"),
        timeout_seconds=180,  # kubelet gives back what a sandbox of before holds once a minute
        what="every address that is held to be one of a pod (nobody holds an address from before)",
        interval_seconds=1,
    )


def test_it_comes_back_after_half_of_it_was_removed(trial: LocalCluster) -> None:
    trial.up()
    trial.nodes["node-a"].stop()
    trial.plane.stop()
    trial.network.down()
    trial.up()
    assert trial.status().nodes[0].ready


def test_images_may_be_kept(trial: LocalCluster) -> None:
    trial.up()
    images = trial.nodes["node-a"].images()
    trial.down(keep_images=True)
    assert trial.leftovers(keep_images=True) == []
    prepared = trial.nodes["node-a"]
    trial.network.up()
    prepared.start_runtime()
    assert prepared.images() == images, "there before anything was loaded"
    assert prepared.ctr("containers", "list", "--quiet").split() == []
    trial.up()


def test_down_leaves_nothing(trial: LocalCluster) -> None:
    trial.up()
    assert trial.leftovers() != [], "it finds what a running cluster has"
    with subprocess.Popen(trial.command("sleep", "300")) as forgotten:
        trial.down()
        assert forgotten.wait(timeout=5) != 0, "a client in the cluster's network"
    assert trial.leftovers() == []
    assert NAME not in Path("/proc/self/mounts").read_text()
    assert NAME not in run(["ip", "netns", "list"])
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{NAME}"))
    trial.down()


def test_down_names_what_it_could_not_remove(trial: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.network.up()
    monkeypatch.setattr(trial.network, "down", lambda: None)
    with pytest.raises(ClusterError, match=f"network namespace {NAME}"):
        trial.down()


def test_a_command_before_up_says_how_to_start(trial: LocalCluster) -> None:
    trial.down()
    with pytest.raises(ContextError, match=r"python -m e2e\.cluster up"):
        trial.kubectl("get", "pods")
