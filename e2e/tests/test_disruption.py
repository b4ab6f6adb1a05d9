"""Nodes are drained through the Eviction API, as before maintenance: at most one group at a time is taken."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from e2e import resources
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.cluster.provider import ZONES
from e2e.drills.timeline import is_ready

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DRAINED = ("node-a", "node-b")
SPARE = "node-c"
ZONE_LABEL = "topology.kubernetes.io/zone"
GROUP = "leaderworkerset.sigs.k8s.io/group-index"
NAME = "drained"
GROUPS, MEMBERS = 2, 2
ROUND_SECONDS = 4
"""Of a drain that is asked for again: less than the 5 s after which kubectl repeats a refused eviction, by name."""


@dataclass
class Groups:
    """The pods of each group as they were before the drain, and the most groups that were broken at once."""

    kube: Api
    namespace: str
    before: dict[str, str] = field(default_factory=dict)
    most_broken: int = 0

    def pods(self) -> list[Obj]:
        return resources.pods(self.kube, self.namespace, NAME)

    def whole(self) -> bool:
        pods = self.pods()
        return len(pods) == GROUPS * MEMBERS and all(map(is_ready, pods))

    def remember(self) -> None:
        self.before = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.pods()}

    def look(self) -> list[str]:
        """The groups that are not whole now, by their index."""
        whole: dict[str, int] = {}
        for pod in self.pods():
            index = pod["metadata"]["labels"][GROUP]
            whole[index] = whole.get(index, 0) + is_ready(pod)
        broken = [str(index) for index in range(GROUPS) if whole.get(str(index), 0) < MEMBERS]
        self.most_broken = max(self.most_broken, len(broken))
        return broken

    def touched(self) -> set[str]:
        """The groups of which a pod is not the one that it was."""
        now = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.pods()}
        return {_group(name) for name, uid in self.before.items() if now.get(name) != uid}


def _group(pod: str) -> str:
    """The group's index in the name of a leader (SET-GROUP) or a worker (SET-GROUP-WORKER)."""
    index = pod.removeprefix(f"{NAME}-zone-a-" if "zone-a" in pod else f"{NAME}-")
    return index.partition("-")[0]


@contextmanager
def uncordoned(cluster: Cluster, nodes: Sequence[str]) -> Iterator[None]:
    """Afterwards the nodes take pods again."""
    try:
        yield
    finally:
        cluster.kubectl("uncordon", *nodes)


@contextmanager
def drains(cluster: Cluster, nodes: Sequence[str], *, seconds: int) -> Iterator[list[subprocess.Popen[str]]]:
    """One ``kubectl drain`` a node, all at once, of this test's pods only."""
    running = [
        subprocess.Popen(
            cluster.kubectl_command("drain", node, *_words(seconds)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in nodes
    ]
    try:
        yield running
    finally:
        for drain in running:
            drain.kill()
            drain.wait()
            if drain.stdout is not None:
                drain.stdout.close()


def _words(seconds: int) -> tuple[str, ...]:
    return (f"--pod-selector=trireme.dev/cluster={NAME}", "--delete-emptydir-data", f"--timeout={seconds}s")


def _drain_again(cluster: Cluster, groups: Groups, nodes: Sequence[str], *, seconds: float) -> None:
    """Drain the nodes in short rounds until they are empty, as whoever is told "timed out" does.

    kubectl reads a node's pods once and asks for their eviction by name, every 5 s while it is refused: by then a name
    may mean the pod that has taken the place on a third node, and a longer drain moves groups that have moved.
    """
    left = list(nodes)
    deadline = time.monotonic() + seconds
    while left:
        assert time.monotonic() < deadline, f"{left} are not empty after {seconds} s"
        with drains(cluster, left, seconds=ROUND_SECONDS) as running:
            said = _run_beside(groups, running, seconds=ROUND_SECONDS + 30)
        for drain, text in zip(running, said, strict=True):
            assert not drain.returncode or "deadline exceeded" in text or "global timeout reached" in text, text
        left = [node for node, drain in zip(left, running, strict=True) if drain.returncode]


def _run_beside(groups: Groups, running: list[subprocess.Popen[str]], *, seconds: float) -> list[str]:
    """Look at the groups until all drains have ended; gives what each of them said."""
    wait_until(
        lambda: groups.look() is not None and all(drain.poll() is not None for drain in running),
        timeout_seconds=seconds,
        what="the drains to end",
    )
    return [drain.communicate()[0] for drain in running]


@pytest.fixture
def two_nodes_in_one_zone(cluster: Cluster) -> Iterator[None]:
    """node-b counts as one of zone-a for the length of a test."""
    moved = DRAINED[1]
    cluster.kubectl("label", "node", moved, f"{ZONE_LABEL}={ZONES[DRAINED[0]]}", "--overwrite")
    yield
    cluster.kubectl("label", "node", moved, f"{ZONE_LABEL}={ZONES[moved]}", "--overwrite")


@pytest.mark.usefixtures("two_nodes_in_one_zone")
def test_a_drain_of_two_nodes_with_four_members_of_two_groups_takes_one_group(
    cluster: Cluster, kube: Api, namespace: str
) -> None:
    """Each node holds a member of each group, and no other node may have them: one group is lost and stays so."""
    own_group = {"matchLabels": {"trireme.dev/cluster": NAME}}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": own_group, "matchLabelKeys": [GROUP]}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    manifest = resources.double(NAME, podTemplate={"spec": {"affinity": apart}})
    manifest["spec"]["zones"] = [{"name": "zone-a", "replicas": GROUPS}]
    resources.apply(cluster, namespace, manifest)
    resources.wait_for(kube, namespace, NAME, "Ready")
    groups = Groups(kube, namespace)
    placed = {(pod["spec"]["nodeName"], pod["metadata"]["labels"][GROUP]) for pod in groups.pods()}
    assert placed == {(node, str(index)) for node in DRAINED for index in range(GROUPS)}
    groups.remember()

    with uncordoned(cluster, DRAINED), drains(cluster, DRAINED, seconds=40) as running:
        said = _run_beside(groups, running, seconds=60)
        assert groups.most_broken == 1
        assert len(groups.touched()) == 1, groups.touched()
        assert any("would violate the pod's disruption budget" in text for text in said), said
    wait_until(groups.whole, timeout_seconds=150, what="both groups to be whole again")


def test_a_drain_of_two_nodes_moves_one_group_after_the_other(cluster: Cluster, kube: Api, namespace: str) -> None:
    """Each node holds one group, and a third node can take both: the drains end, and one group serves at any time."""
    manifest = resources.double(NAME)
    del manifest["spec"]["zones"]
    manifest["spec"]["replicas"] = GROUPS
    cluster.kubectl("cordon", SPARE)
    try:
        resources.apply(cluster, namespace, manifest)
        resources.wait_for(kube, namespace, NAME, "Ready")
    finally:
        cluster.kubectl("uncordon", SPARE)
    groups = Groups(kube, namespace)
    leaders = [pod for pod in groups.pods() if pod["metadata"]["labels"]["trireme.dev/role"] == "leader"]
    assert {pod["spec"]["nodeName"] for pod in leaders} == set(DRAINED), "leaders are kept apart"
    groups.remember()

    with uncordoned(cluster, DRAINED):
        _drain_again(cluster, groups, DRAINED, seconds=270)
        wait_until(lambda: not groups.look(), timeout_seconds=150, what="both groups to be whole on the third node")
        assert groups.most_broken == 1
        assert groups.touched() == {"0", "1"}
        assert {pod["spec"]["nodeName"] for pod in groups.pods()} == {SPARE}
