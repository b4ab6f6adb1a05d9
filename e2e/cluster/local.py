"""The local cluster: upstream Kubernetes as plain processes, for machines with root and without Docker."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from e2e import cache, images
from e2e.cluster import cgroups, context, disk, dns, image_store, leftovers, nodes_status, owner
from e2e.cluster.controlplane import ControlPlane, Ports
from e2e.cluster.network import API_ADDRESS, SERVICE_RANGE, Network, NodeNetwork
from e2e.cluster.node import Node, kube_proxy
from e2e.cluster.node_configs import NodeDirectories
from e2e.cluster.processes import Daemon, ancestors, end, marked
from e2e.cluster.provider import ZONES, ClusterError, ClusterStatus, require_node, require_zone
from e2e.host import CommandError, ensure_packages, require_root, run
from e2e.progress import step
from e2e.toolchain import binary, kube_link_dir

PACKAGES = ("containernetworking-plugins", "iproute2", "nftables", "openssl", "procps", "runc", "util-linux")
"""The Debian packages it needs."""

_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr")
_SOCKET_PATH_BYTES = 107
"""The longest path of a Unix socket (``sun_path``)."""
_NODES_SECONDS = 120.0
_LOOK_SECONDS = 0.5
"""Between two looks, some of which start a kubectl: that takes a processor a tenth of a second and more."""


class LocalCluster:
    """The cluster ``trireme-local``.

    Its namespaces and cgroups are named after it, so a machine can run a second one under another name; tests
    that take a cluster apart use one with a single node.
    """

    def __init__(self, name: str = "trireme-local", zones: Mapping[str, str] = ZONES) -> None:
        self.name = name
        self.state = (cache.root() / "clusters" / name).absolute()
        addresses = [NodeNetwork(node, zone, index) for index, (node, zone) in enumerate(zones.items(), start=1)]
        self.network = Network(name, addresses)
        self.plane = ControlPlane(
            self.state / "control-plane",
            name=self.name,
            address=API_ADDRESS,
            ports=Ports(),
            service_range=SERVICE_RANGE,
            namespace=self.network.path(),
            controllers=("*",),
            scheduler=True,
        )
        self.nodes = {each.node: Node(self.plane, self.network, each, self._directories(each)) for each in addresses}

    def up(self) -> None:
        """Start what does not run, from whatever state a crash or a reboot left; heals zones, starts stopped nodes."""
        self._require_usable_machine()
        ensure_packages(*PACKAGES)
        kube_link_dir()
        for program in _PROGRAMS:
            binary(program)
        archives = list(images.build("pause", "coredns").values())
        with cache.locked(self.state):
            owner.claim(self._run, self.state)
            with step("network namespaces and links"):
                self.network.up()
            with step("control plane and container runtimes", expected_seconds=6), ThreadPoolExecutor() as pool:
                prepared = [pool.submit(_prepare, node, archives) for node in self.nodes.values()]
                self.plane.start()
                for each in prepared:
                    each.result()
            self._start_nodes()

    def down(self, *, keep_images: bool = False) -> None:
        """Remove every trace, also of a cluster that is only half there.

        Raises:
            ClusterError: something is still there, or the cluster is another cache's; says what, or whose.

        """
        require_root()
        owner.require_own(self._run, self.state)
        with cache.locked(self.state), step("take the local cluster down", expected_seconds=5):
            if keep_images:
                self._forget_pods()
            with ThreadPoolExecutor() as pool:
                list(pool.map(Node.stop, self.nodes.values()))
            self._router_proxy().stop(grace_seconds=0)
            self.plane.stop(grace_seconds=0)
            end(marked(self.name), grace_seconds=0)
            end(self.network.processes() - ancestors(), grace_seconds=1)
            if cgroups.exists(self.name):
                cgroups.remove(self.name)
            self.network.down()
            leftovers.remove_shared(self.state)
            shutil.rmtree(self._run, ignore_errors=True)
            kept = {self._stores} if keep_images else set()
            entries = [*self.state.iterdir()] if self.state.exists() else []
            # Not shutil.rmtree: images are tens of thousands of files, and rm takes a fraction of its time.
            run(["rm", "-rf", "--", *(entry for entry in entries if entry not in kept)])
            with suppress(OSError):
                self.state.rmdir()
            left = self.leftovers(keep_images=keep_images)
        if left:
            raise ClusterError("the local cluster is down, but this is still there:\n  " + "\n  ".join(left))

    def leftovers(self, *, keep_images: bool = False) -> list[str]:
        """What a machine without this cluster would not have, one line each."""
        left = [f"process {pid}: {line}" for pid, line in marked(self.name).items()]
        left += [line for node in self.nodes.values() for line in node.leftovers()]
        left += [f"network namespace {name}" for name in self.network.existing()]
        left += [f"cgroup {self.name}"] if cgroups.exists(self.name) else []
        left += [f"link {path}" for path in leftovers.log_links(self.state)]
        left += [f"directory {self._run}"] if self._run.exists() else []
        left += [f"directory {self.state}"] if self.state.exists() and not keep_images else []
        return left

    def status(self) -> ClusterStatus:
        alive = [*self.plane.alive().values(), *(up for node in self.nodes.values() for up in node.alive().values())]
        running = any(alive)
        if not running or not self.plane.ready():
            return ClusterStatus(running=running, api_ready=False, nodes=())
        nodes = nodes_status.parse(self._nodes_text())
        return ClusterStatus(running=True, api_ready=True, nodes=nodes, cut_zones=tuple(self.network.cut_zones()))

    def kubeconfig(self) -> Path:
        context.require_own(self.plane.kubeconfig, self.name)
        return self.plane.kubeconfig

    def command(self, *argv: str) -> list[str]:
        return [*self.network.enter(), *argv]

    def kubectl_command(self, *words: str) -> list[str]:
        context.refuse_elsewhere(words)
        own = [f"--kubeconfig={self.kubeconfig()}", f"--cache-dir={self.state / 'kubectl-cache'}"]
        return self.command(str(kube_link_dir() / "kubectl"), *own, *words)

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        return run(self.kubectl_command(*args), input=input)

    def load_image(self, archive: Path, *, nodes: Sequence[str] = ()) -> None:
        chosen = list(nodes or self.nodes)
        for node in chosen:
            require_node(node)
            if not self.nodes[node].alive()["containerd"]:
                raise ClusterError(
                    f"{node} does not run: start it with python -m e2e.cluster node start {node} (or up)"
                )
        wanted = image_store.archived(archive)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.nodes[name].load_image(archive, wanted), chosen))

    def stop_node(self, node: str) -> None:
        require_node(node)
        self.nodes[node].stop()

    def start_node(self, node: str) -> None:
        require_node(node)
        self._start_and_wait([self.nodes[node]])

    def cut_zone(self, zone: str) -> None:
        require_zone(zone)
        self.network.cut(zone)

    def heal_zone(self, zone: str) -> None:
        require_zone(zone)
        self.network.heal(zone)

    def split_pods(self, one: Sequence[str], other: Sequence[str]) -> None:
        self.network.split(one, other)

    def join_pods(self) -> None:
        self.network.join()

    @property
    def _run(self) -> Path:
        return Path("/run") / self.name

    @property
    def _stores(self) -> Path:
        return self.state / "stores"

    def _directories(self, node: NodeNetwork) -> NodeDirectories:
        sockets = self._run / node.node
        return NodeDirectories(self.state / "nodes" / node.node, self._stores / node.node, sockets)

    def _start_nodes(self) -> None:
        for zone in self.network.cut_zones():
            self.network.heal(zone)
        self.network.join()
        with step("nodes", expected_seconds=12):
            kube_proxy(
                self.plane,
                directory=self._router_proxy().directory,
                node=next(iter(self.nodes)),
                address=API_ADDRESS,
                enter=self.network.enter(),
            ).start()
            self._start_and_wait(list(self.nodes.values()), meanwhile=self._apply_dns)
        with step("DNS", expected_seconds=5):
            self.kubectl("--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")

    def _start_and_wait(self, nodes: Sequence[Node], meanwhile: Callable[[], None] = lambda: None) -> None:
        """A node that died is called Ready for 50 s more: only a heartbeat that is new proves a new start."""
        before = self._heartbeats()
        started = {node.name for node in nodes if node.start()}
        meanwhile()

        def ready() -> bool:
            now = self._heartbeats()
            return all(node.name in now for node in nodes) and all(now[name] != before.get(name) for name in started)

        self._wait(ready, f"{', '.join(node.name for node in nodes)} not Ready")

    def _router_proxy(self) -> Daemon:
        return Daemon("kube-proxy", (), self.state / "router", self.name)

    def _apply_dns(self) -> None:
        """The API server is ready some moments before it has its priority classes."""

        def taken() -> bool:
            with suppress(CommandError):
                self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=dns.manifests())
                return True
            return False

        self._wait(taken, "the objects of CoreDNS were not accepted")

    def _heartbeats(self) -> dict[str, str]:
        """When kubelet last said that its node is Ready, for those that are."""
        return nodes_status.heartbeats(self._nodes_text())

    def _nodes_text(self) -> str:
        try:
            return self.plane.get("/api/v1/nodes").decode()
        except (OSError, HTTPException) as error:
            raise ClusterError(f"the API server of {self.name} does not tell its nodes: {error}") from error

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _NODES_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise ClusterError(f"{otherwise} after {_NODES_SECONDS:.0f} s; the logs are in {self.state}/*/*.log")
            time.sleep(_LOOK_SECONDS)

    def _forget_pods(self) -> None:
        """Empty the stores of everything but images; only a running containerd can."""
        for node in self.nodes.values():
            if node.alive()["containerd"]:
                node.forget_pods()

    def _require_usable_machine(self) -> None:
        require_root()
        disk.require_room(cache.root())
        longest = next(iter(self.nodes.values())).directories.kubelet / "pod-resources" / "kubelet.sock"
        if len(str(longest)) > _SOCKET_PATH_BYTES:
            raise ClusterError(
                f"{longest} is longer than the {_SOCKET_PATH_BYTES} bytes of a socket's path: "
                "set TRIREME_CACHE to a directory with a shorter path"
            )
        leftovers.require_no_other_kubelet()
        cgroups.require_usable(self.name)


def usable() -> bool:
    """Whether this machine can have a local cluster: Linux, and root."""
    return sys.platform == "linux" and os.geteuid() == 0


def _prepare(node: Node, archives: Sequence[Path]) -> None:
    node.start_runtime()
    for archive in archives:
        node.load_image(archive, image_store.archived(archive))
