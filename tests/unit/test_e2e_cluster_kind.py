"""The commands by which a kind cluster is made, used and broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from e2e.cluster import ClusterError, ContextError
from e2e.cluster import kind as kind_module
from e2e.cluster.kind import KindCluster, configuration
from e2e.host import CommandError


class Recorder:
    """Writes down what would be run and answers from a table (the longest matching beginning wins)."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.inputs: list[str | None] = []
        self.answers: dict[str, str | BaseException] = {"docker inspect --format={{.State.Pid}}": "4711\n"}

    def __call__(self, argv: Sequence[str | Path], *, input: str | None = None) -> str:  # noqa: A002
        line = " ".join(str(word) for word in argv)
        self.ran.append(line)
        self.inputs.append(input)
        matching = [begin for begin in self.answers if line.startswith(begin)]
        answer = self.answers[max(matching, key=len)] if matching else ""
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    monkeypatch.setattr(kind_module, "binary", lambda name: name)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return Recorder()


@pytest.fixture
def cluster(commands: Recorder) -> KindCluster:
    return KindCluster(commands)


@pytest.fixture
def kubeconfig(tmp_path: Path, commands: Recorder) -> Path:
    path = tmp_path / "clusters" / "trireme-kind" / "kubeconfig"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"contexts": [{"name": "kind-trireme-kind"}], "current-context": "kind-trireme-kind"}))
    return path


def test_one_worker_for_each_zone() -> None:
    nodes = json.loads(configuration())["nodes"]
    assert [node["role"] for node in nodes] == ["control-plane", "worker", "worker", "worker"]
    zones = [node["labels"]["topology.kubernetes.io/zone"] for node in nodes[1:]]
    assert zones == ["zone-a", "zone-b", "zone-c"]


def test_up_creates_the_cluster_with_a_kubeconfig_of_its_own(
    cluster: KindCluster, commands: Recorder, kubeconfig: Path
) -> None:
    commands.answers["docker inspect --format={{range"] = "172.18.0.5\n"
    cluster.up()
    config = kubeconfig.parent / "kind.json"
    created = f"kind create cluster --name=trireme-kind --config={config} --wait=180s --kubeconfig={kubeconfig}"
    assert created in commands.ran
    assert not [line for line in commands.ran if line.startswith("kind delete")]
    assert f"kind export kubeconfig --name=trireme-kind --kubeconfig={kubeconfig}" in commands.ran
    assert (
        f"kubectl config --kubeconfig={kubeconfig} set-cluster kind-trireme-kind --server=https://172.18.0.5:6443"
        in commands.ran
    )
    assert commands.ran[-1].endswith("wait --for=condition=Ready nodes --all --timeout=180s")


def test_up_of_an_existing_cluster_creates_nothing_and_starts_its_workers(
    cluster: KindCluster, commands: Recorder, kubeconfig: Path
) -> None:
    cluster.up()
    commands.answers["kind get clusters"] = "other\ntrireme-kind\n"
    commands.ran.clear()
    cluster.up()
    assert not [line for line in commands.ran if line.startswith(("kind create", "kind delete"))]
    assert "docker start trireme-kind-worker" in commands.ran
    assert "docker start trireme-kind-worker3" in commands.ran


def test_a_cluster_whose_creation_was_interrupted_is_made_anew(
    cluster: KindCluster, commands: Recorder, kubeconfig: Path
) -> None:
    cluster.up()  # of a cluster that somebody deleted with kind itself afterwards
    commands.answers["kind create"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        cluster.up()
    del commands.answers["kind create"]
    commands.answers["kind get clusters"] = "trireme-kind\n"
    commands.ran.clear()
    cluster.up()
    made = [line.split(" --")[0] for line in commands.ran if line.startswith(("kind create", "kind delete"))]
    assert made == ["kind delete cluster", "kind create cluster"]
    commands.ran.clear()
    cluster.up()
    assert not [line for line in commands.ran if line.startswith("kind create")]


def test_a_cluster_of_a_similar_name_is_not_ours(cluster: KindCluster, commands: Recorder) -> None:
    commands.answers["kind get clusters"] = "trireme-kind-2\n"
    assert not cluster.status().running


def test_down_deletes_this_cluster_only(cluster: KindCluster, commands: Recorder, kubeconfig: Path) -> None:
    cluster.down()
    assert commands.ran == [f"kind delete cluster --name=trireme-kind --kubeconfig={kubeconfig}"]
    assert not kubeconfig.parent.exists()


def test_kubectl_names_its_kubeconfig_and_runs_inside_the_network(
    cluster: KindCluster, commands: Recorder, kubeconfig: Path
) -> None:
    cluster.kubectl("get", "pods", input="text")
    assert commands.ran[-1] == (
        "nsenter --net=/proc/4711/ns/net -- "
        f"kubectl --kubeconfig={kubeconfig} --cache-dir={kubeconfig.parent / 'kubectl-cache'} get pods"
    )
    assert commands.inputs[-1] == "text"


def test_kubectl_refuses_a_kubeconfig_of_another_context(
    cluster: KindCluster, commands: Recorder, kubeconfig: Path
) -> None:
    kubeconfig.write_text(json.dumps({"contexts": [{"name": "production"}], "current-context": "production"}))
    with pytest.raises(ContextError):
        cluster.kubectl("delete", "namespaces", "--all")
    assert commands.ran == []


def test_kubectl_refuses_another_context(cluster: KindCluster, commands: Recorder, kubeconfig: Path) -> None:
    with pytest.raises(ContextError):
        cluster.kubectl("get", "pods", "--context=production")
    assert commands.ran == []


def test_an_ordinary_user_enters_the_network_with_sudo(
    cluster: KindCluster, commands: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cluster.command("curl")[:2] == ["sudo", "--preserve-env=PATH"]


def test_without_linux_a_program_runs_as_it_is(cluster: KindCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert cluster.command("curl", "x") == ["curl", "x"]


def test_status_knows_workers_by_their_common_names(cluster: KindCluster, commands: Recorder, kubeconfig: Path) -> None:
    def node(name: str, zone: str, ready: str) -> dict[str, object]:
        labels = {"topology.kubernetes.io/zone": zone}
        conditions = [{"type": "Ready", "status": ready}]
        return {"metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}}

    items = [
        node("trireme-kind-control-plane", "", "True"),
        node("trireme-kind-worker2", "zone-b", "Unknown"),
        node("trireme-kind-worker", "zone-a", "True"),
    ]
    commands.answers |= {
        "kind get clusters": "trireme-kind",
        "nsenter": json.dumps({"items": items}),
        "docker exec --interactive trireme-kind-worker2 nft list tables": "table inet trireme-cut-zone-b\n",
    }
    status = cluster.status()
    assert [(each.name, each.zone, each.ready) for each in status.nodes] == [
        ("node-a", "zone-a", True),
        ("node-b", "zone-b", False),
    ]
    assert status.cut_zones == ("zone-b",)


def test_status_of_a_cluster_that_does_not_answer(cluster: KindCluster, commands: Recorder, kubeconfig: Path) -> None:
    commands.answers |= {"kind get clusters": "trireme-kind", "nsenter": CommandError(["kubectl"], 1, "refused")}
    status = cluster.status()
    assert status.running
    assert not status.api_ready


def test_a_node_dies_and_comes_back(cluster: KindCluster, commands: Recorder, kubeconfig: Path) -> None:
    cluster.stop_node("node-b")
    cluster.start_node("node-b")
    assert commands.ran[0] == "docker stop --time=0 trireme-kind-worker2"
    assert commands.ran[1] == "docker start trireme-kind-worker2"
    assert "wait --for=condition=Ready node/trireme-kind-worker2" in commands.ran[-1]


def test_a_zone_is_cut_in_its_nodes_only(cluster: KindCluster, commands: Recorder) -> None:
    cluster.cut_zone("zone-c")
    assert commands.ran == ["docker exec --interactive trireme-kind-worker3 nft -f -"]
    rules = commands.inputs[0]
    assert rules is not None
    assert 'iifname { "eth0" } drop' in rules


@pytest.mark.parametrize(("cut", "deletes"), [("table inet trireme-cut-zone-c", True), ("table ip kube-proxy", False)])
def test_only_a_cut_zone_is_healed(cluster: KindCluster, commands: Recorder, cut: str, *, deletes: bool) -> None:
    commands.answers["docker exec --interactive trireme-kind-worker3 nft list tables"] = cut
    cluster.heal_zone("zone-c")
    delete = "docker exec --interactive trireme-kind-worker3 nft delete table inet trireme-cut-zone-c"
    assert (delete in commands.ran) is deletes


def test_pods_are_split_on_every_node_and_joined_where_they_are_split(cluster: KindCluster, commands: Recorder) -> None:
    cluster.split_pods(["10.244.1.2"], ["10.244.2.3"])
    nodes = ("trireme-kind-worker", "trireme-kind-worker2", "trireme-kind-worker3")
    assert commands.ran == [f"docker exec --interactive {node} nft -f -" for node in nodes]
    assert all(rules is not None and "ip saddr { 10.244.1.2 }" in rules for rules in commands.inputs)
    tables = "table inet trireme-split\ntable ip kube-proxy\n"
    commands.answers["docker exec --interactive trireme-kind-worker2 nft list tables"] = tables
    commands.ran.clear()
    cluster.join_pods()
    deleted = [line for line in commands.ran if "delete" in line]
    assert deleted == ["docker exec --interactive trireme-kind-worker2 nft delete table inet trireme-split"]


def test_unknown_nodes_and_zones_are_named_with_those_that_exist(cluster: KindCluster) -> None:
    with pytest.raises(ClusterError, match="no node 'node-x': there are node-a, node-b, node-c"):
        cluster.stop_node("node-x")
    with pytest.raises(ClusterError, match="no zone 'zone-x': there are zone-a, zone-b, zone-c"):
        cluster.cut_zone("zone-x")


def test_an_image_is_loaded_only_where_it_is_missing(
    cluster: KindCluster, commands: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2e.cluster.image_store.archived", lambda _path: {"trireme.dev/operator:dev": "sha256:1"})
    heading = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
    present = f"{heading}trireme.dev/operator:dev application/x sha256:1 9 MiB linux/amd64 -\n"
    listing = "ctr --namespace=k8s.io images list"
    commands.answers |= {f"docker exec trireme-kind-worker{n} {listing}": heading for n in ("2", "3")}
    commands.answers[f"docker exec trireme-kind-worker {listing}"] = present
    cluster.load_image(Path("operator.tar"))
    assert commands.ran[-1] == (
        "kind load image-archive operator.tar --name=trireme-kind --nodes=trireme-kind-worker2,trireme-kind-worker3"
    )
