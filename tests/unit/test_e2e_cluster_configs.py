"""What the local cluster's programs are told."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from e2e.cluster import ClusterError, cgroups, dns, files, image_store, mounts, node_configs, nodes_status
from e2e.cluster.image_store import ImageError
from e2e.cluster.local import LocalCluster
from e2e.cluster.network import NodeNetwork, cut_rules, dropped_in, pod_links, split_rules
from e2e.cluster.node_configs import NodeDirectories
from e2e.cluster.pki import KeyPair

NETWORK = NodeNetwork("node-b", "zone-b", 2)
DIRECTORIES = NodeDirectories(
    Path("/state/nodes/node-b"), Path("/state/stores/node-b"), shim_sockets=Path("/run/trireme-local/node-b")
)


def test_addresses_follow_from_the_nodes_number() -> None:
    assert (NETWORK.address, NETWORK.router_address, NETWORK.pods) == ("10.90.2.1", "10.90.2.254", "10.91.2.0/24")


def test_containerd_keeps_to_its_directories() -> None:
    config = tomllib.loads(node_configs.containerd(DIRECTORIES))
    assert config["version"] == 3
    assert config["root"] == "/state/stores/node-b"
    assert config["state"].startswith("/state/nodes/node-b/")
    assert config["grpc"]["address"] == "/state/nodes/node-b/run/containerd.sock"
    assert config["plugins"]["io.containerd.shim.v1.manager"]["socket_dir"] == "/run/trireme-local/node-b"
    runtime = config["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["restrict_oom_score_adj"] is True
    assert runtime["netns_mounts_under_state_dir"] is True
    assert runtime["cni"]["conf_dir"] == "/state/nodes/node-b/cni"
    assert config["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == node_configs.PAUSE_IMAGE


def test_pods_get_addresses_of_their_node_and_leases_that_a_power_cut_ends() -> None:
    config = json.loads(node_configs.cni("net", NETWORK, DIRECTORIES.run / "leases"))
    (plugin,) = config["plugins"]
    assert plugin["type"] == "ptp"
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.91.2.0/24"}]]
    assert plugin["ipam"]["dataDir"] == "/state/nodes/node-b/run/leases"


def test_kubelet_listens_at_its_node_and_keeps_to_its_cgroup() -> None:
    serving = KeyPair(Path("/pki/s.crt"), Path("/pki/s.key"))
    text = node_configs.kubelet(
        DIRECTORIES, NETWORK, cgroup="trireme-local/node-b", authority=Path("/pki/ca.crt"), serving=serving
    )
    config = json.loads(text)
    assert config["address"] == "10.90.2.1"
    assert config["cgroupRoot"] == "/trireme-local/node-b"
    assert config["failCgroupV1"] is False
    assert config["authentication"]["anonymous"]["enabled"] is False
    assert config["podLogsDir"].startswith("/state/nodes/node-b/")


def test_kubelet_is_labelled_with_its_zone() -> None:
    arguments = node_configs.kubelet_arguments(
        DIRECTORIES, NETWORK, config=Path("/c.yaml"), kubeconfig=Path("/k.kubeconfig")
    )
    assert "--node-labels=topology.kubernetes.io/zone=zone-b" in arguments
    assert "--hostname-override=node-b" in arguments


def test_dns_answers_names_outside_the_cluster_instead_of_failing() -> None:
    assert ".:1053 {" in dns.COREFILE
    assert "rcode NXDOMAIN" in dns.COREFILE
    items = json.loads(dns.manifests())["items"]
    service = next(item for item in items if item["kind"] == "Service")
    deployment = next(item for item in items if item["kind"] == "Deployment")
    assert service["spec"]["clusterIP"] == "10.92.0.10"
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_a_cut_drops_both_ways_on_every_hook() -> None:
    rules = cut_rules("zone-a", ["node-a", "node-d"])
    assert rules.startswith("table inet trireme-cut-zone-a\ndelete table inet trireme-cut-zone-a\n")
    for hook in ("input", "postrouting", "forward"):
        assert f"type filter hook {hook}" in rules
    assert rules.count('iifname { "node-a", "node-d" } drop') == 2
    assert rules.count('oifname { "node-a", "node-d" } drop') == 1, "all that leaves comes through postrouting"


def test_a_split_drops_what_is_routed_between_pods_either_way() -> None:
    rules = split_rules(["10.91.1.2"], ["10.91.1.3", "10.91.3.2"])
    assert rules.startswith("table inet trireme-split\ndelete table inet trireme-split\n")
    assert "type filter hook forward" in rules
    assert "ip saddr { 10.91.1.2 } ip daddr { 10.91.1.3, 10.91.3.2 } drop" in rules
    assert "ip saddr { 10.91.1.3, 10.91.3.2 } ip daddr { 10.91.1.2 } drop" in rules
    assert dropped_in("table inet trireme-split") == set(), "no zone and no node is cut off"
    with pytest.raises(ValueError, match="each side needs an address"):
        split_rules(["10.91.1.2"], [])


def test_cut_off_is_what_has_a_table_of_ours() -> None:
    tables = "table ip kube-proxy\ntable inet trireme-cut-zone-a\ntable inet trireme-cut-node-b\n"
    assert dropped_in(tables) == {"zone-a", "node-b"}


def test_the_links_to_pods_are_told_from_the_one_to_the_router() -> None:
    links = (
        "2: eth0@if4: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT\n"
        "31: veth0264bdc9@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT\n"
    )
    assert pod_links(links) == ["veth0264bdc9"]
    assert pod_links("") == []


def test_mounts_are_found_innermost_first_with_their_escapes_undone() -> None:
    table = (
        "tmpfs /state/a tmpfs rw 0 0\n"
        "overlay /state/a/b\\040c overlay rw 0 0\n"
        "tmpfs /statement tmpfs rw 0 0\n"
        "proc /proc proc rw 0 0\n"
    )
    assert mounts.below(Path("/state"), table) == [Path("/state/a/b c"), Path("/state/a")]


def test_a_group_of_cgroup_v1_inherits_its_cpuset(tmp_path: Path) -> None:
    for controller in ("cpu", "cpuset", "memory", "pids"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").write_text("1\n")
    for name, value in (("cpuset.cpus", "0-1\n"), ("cpuset.mems", "0\n")):
        (tmp_path / "cpuset" / name).write_text(value)
    # the kernel makes these files with the group; here they stand before it is made
    made = tmp_path / "cpuset" / "trireme"
    made.mkdir()
    (made / "cpuset.cpus").write_text("\n")
    (made / "cpuset.mems").write_text("\n")
    (tmp_path / "cpu" / "trireme").mkdir()
    (tmp_path / "cpu" / "trireme" / "cpu.shares").write_text("1024\n")
    cgroups.create("trireme", root=tmp_path)
    assert (tmp_path / "memory" / "trireme").is_dir()
    assert (tmp_path / "cpu" / "trireme" / "cpu.shares").read_text() == "4096"
    assert (made / "cpuset.cpus").read_text() == "0-1\n"
    assert (made / "cpuset.mems").read_text() == "0\n"


def test_missing_controllers_of_cgroup_v1_are_named_before_anything_is_made(tmp_path: Path) -> None:
    for controller in ("cpuset", "memory"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").write_text("1\n")
    with pytest.raises(ClusterError, match=r"lacks the cgroup controllers cpu, pids: .*--cgroupns=host"):
        cgroups.require_usable("trireme", root=tmp_path)
    assert not cgroups.exists("trireme", root=tmp_path)


def test_cgroups_that_cannot_be_made_are_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for controller in ("cpu", "cpuset", "memory", "pids"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").write_text("1\n")

    def refuse(self: Path, *_args: object, **_words: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ClusterError, match=r"Read-only file system.*--cgroupns=host"):
        cgroups.require_usable("trireme", root=tmp_path)


def v2(path: Path, *, root: str, group: str) -> Path:
    """A tree as of cgroup v2, where the kernel has made the files of ``trireme``."""
    (path / "trireme").mkdir()
    for directory, controllers in ((path, root), (path / "trireme", group)):
        (directory / "cgroup.controllers").write_text(f"{controllers}\n")
        (directory / "cgroup.subtree_control").write_text("")
    return path


def test_a_group_of_cgroup_v2_hands_its_controllers_down(tmp_path: Path) -> None:
    root = v2(tmp_path, root="cpuset cpu memory pids", group="cpuset cpu memory pids")
    assert cgroups.hierarchies(root) == [root]
    cgroups.create("trireme", root=root)
    assert (root / "cgroup.subtree_control").read_text() == "+pids", "one write for each controller, this the last"
    assert (root / "trireme" / "cgroup.subtree_control").read_text() == "+pids"


def test_missing_controllers_of_cgroup_v2_are_named(tmp_path: Path) -> None:
    root = v2(tmp_path, root="cpuset cpu memory pids", group="cpuset pids")
    with pytest.raises(ClusterError, match=r"trireme lacks the cgroup controllers cpu, memory: .*--cgroupns=host"):
        cgroups.create("trireme", root=root)


def test_processes_of_a_group_count_those_below_it(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    below = tmp_path / "trireme" / "node-a" / "pod"
    below.mkdir(parents=True)
    (tmp_path / "trireme" / "node-a" / "cgroup.procs").write_text("")
    (below / "cgroup.procs").write_text("17\n4\n")
    assert cgroups.processes("trireme/node-a", root=tmp_path) == {4, 17}


def archive(path: Path, files: Mapping[str, object]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_images_of_an_oci_archive(tmp_path: Path) -> None:
    annotations = {"org.opencontainers.image.ref.name": "trireme.dev/operator:dev"}
    index = {"manifests": [{"digest": "sha256:1", "annotations": annotations}, {"digest": "sha256:2"}]}
    path = archive(tmp_path / "a.tar", {"oci-layout": {}, "index.json": index})
    assert image_store.archived(path) == {"trireme.dev/operator:dev": "sha256:1"}


def test_a_docker_archive_has_no_digests(tmp_path: Path) -> None:
    assert image_store.archived(archive(tmp_path / "a.tar", {"manifest.json": []})) == {}


@pytest.mark.parametrize("content", [b"no archive", None])
def test_what_is_no_image_archive_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.tar"
    if content is None:
        archive(path, {"README": ""})
    else:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.tar"):
        image_store.archived(path)


def test_a_store_is_complete_when_name_and_content_agree() -> None:
    listing = (
        "REF                      TYPE                                       DIGEST   SIZE      PLATFORMS   LABELS\n"
        "trireme.dev/operator:dev application/vnd.oci.image.manifest.v1+json sha256:1 137.0 MiB linux/amd64 a=b\n"
    )
    present = image_store.listed(listing)
    assert image_store.complete({"trireme.dev/operator:dev": "sha256:1"}, present)
    assert not image_store.complete({"trireme.dev/operator:dev": "sha256:2"}, present)
    assert not image_store.complete({"trireme.dev/runtime:dev": "sha256:1"}, present)
    assert not image_store.complete({}, present), "an archive without digests is always loaded"


def test_a_cache_too_deep_for_sockets_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("e2e.cluster.disk.require_room", lambda _root: None)
    monkeypatch.setenv("TRIREME_CACHE", f"/tmp/{'deep' * 25}")
    with pytest.raises(ClusterError, match="set TRIREME_CACHE to a directory with a shorter path"):
        LocalCluster().up()


def test_the_local_cluster_refuses_nodes_and_zones_it_does_not_have() -> None:
    cluster = LocalCluster()
    with pytest.raises(ClusterError, match="no node 'node-z'"):
        cluster.start_node("node-z")
    with pytest.raises(ClusterError, match="no zone 'zone-z'"):
        cluster.heal_zone("zone-z")


def test_a_file_that_says_so_already_is_not_touched(tmp_path: Path) -> None:
    path = files.write(tmp_path / "made" / "config", "one", mode=0o600)
    assert path.stat().st_mode & 0o077 == 0
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before - 10**9, before - 10**9))
    files.write(path, "one")
    assert path.stat().st_mtime_ns == before - 10**9
    files.write(path, "two")
    assert path.read_text() == "two"


def test_only_a_ready_node_has_a_heartbeat() -> None:
    def node(name: str, ready: str) -> dict[str, object]:
        condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": f"of {name}"}
        return {"metadata": {"name": name}, "status": {"conditions": [condition]}}

    output = json.dumps({"items": [node("node-a", "True"), node("node-b", "Unknown"), node("node-c", "False")]})
    assert nodes_status.heartbeats(output) == {"node-a": "of node-a"}
    assert [each.ready for each in nodes_status.parse(output)] == [True, False, False]


def test_an_image_is_not_loaded_into_a_node_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    with pytest.raises(ClusterError, match="node-b does not run: start it with"):
        LocalCluster("trireme-unit").load_image(tmp_path / "none.tar", nodes=["node-b"])
