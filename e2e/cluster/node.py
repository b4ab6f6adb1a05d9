"""A node of the local cluster: containerd, kubelet and kube-proxy in the node's network namespace."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import cgroups, files, image_store, mounts, node_configs
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.network import Network, NodeNetwork
from e2e.cluster.node_configs import NodeDirectories
from e2e.cluster.processes import Daemon, end
from e2e.host import CommandError, run
from e2e.toolchain import binary, kube_link_dir

_RESULTS = Path("/var/lib/cni/results")
"""Where CNI keeps its results; libcni offers no other place."""


@dataclass(frozen=True)
class Node:
    """One node. ``start`` and ``stop`` may be called in any state."""

    plane: ControlPlane
    network: Network
    addresses: NodeNetwork
    directories: NodeDirectories

    @property
    def name(self) -> str:
        return self.addresses.node

    @property
    def cgroup(self) -> str:
        return f"{self.plane.name}/{self.name}"

    def start_runtime(self) -> None:
        """Start containerd, with the node's network and cgroup, and wait for it.

        Raises:
            ProcessError: it does not come up.

        """
        daemon = self._containerd()
        if daemon.pid() is None and not (cgroups.processes(self.cgroup) or self._shims()):
            self._forget_run()  # else it takes over the pods that run
        cgroups.create(self.cgroup)
        paths = self.directories
        for directory in (paths.cni, paths.store, paths.run, paths.shim_sockets):
            directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        files.write(self.directories.home / "containerd.toml", node_configs.containerd(self.directories))
        name = f"{self.plane.name}-{self.name}"
        plugin = node_configs.cni(name, self.addresses, self.directories.run / "leases")
        files.write(self.directories.cni / "10-trireme.conflist", plugin)
        if daemon.start():
            daemon.wait(self._runtime_ready, seconds=30)

    def start(self) -> bool:
        """Start what does not run; says whether kubelet had to be started, and so has yet to become Ready.

        Raises:
            ProcessError: containerd does not come up.

        """
        self.network.plug(self.name)
        self.start_runtime()
        self._kube_proxy().start()
        return self._kubelet().start()

    def stop(self) -> None:
        """What happens when the machine loses its power: no process, mount or answer remains, the disk does."""
        if self.network.namespace() in self.network.existing():
            self.network.unplug(self.name)
        self._end_pods()
        self._daemon("containerd", ()).stop(grace_seconds=2)
        end(cgroups.processes(self.cgroup) | self._shims(), grace_seconds=0)
        self._forget_run()
        cgroups.remove(self.cgroup)

    def forget_pods(self) -> None:
        """End the pods and remove what containerd knows of them, so that only its images are left; it must run."""
        self._end_pods()
        for container in self.ctr("containers", "list", "--quiet").split():
            self.ctr("containers", "delete", container)

    def _forget_run(self) -> None:
        """Remove what a machine loses with its power and a reboot of ours does not: our directories are on the disk."""
        mounts.unmount(self.directories.home)
        for directory in (self.directories.run, self.directories.shim_sockets):
            shutil.rmtree(directory, ignore_errors=True)
        for result in self._cni_results():
            result.unlink(missing_ok=True)
        self.network.drop_pod_links(self.name)

    def _end_pods(self) -> None:
        for name in ("kubelet", "kube-proxy"):
            self._daemon(name, ()).stop(grace_seconds=0)
        end(cgroups.processes(self.cgroup) | self._shims(), grace_seconds=0)

    def alive(self) -> dict[str, bool]:
        """Which of the node's processes run, by name."""
        return {name: self._daemon(name, ()).pid() is not None for name in ("containerd", "kubelet", "kube-proxy")}

    def images(self) -> dict[str, str]:
        """What the node's store has: digests by image name."""
        return image_store.listed(self.ctr("images", "list"))

    def load_image(self, archive: Path, wanted: dict[str, str]) -> bool:
        """Import the images ``wanted`` from the archive, unless the store has them; says whether it had to."""
        if image_store.complete(wanted, self.images()):
            return False
        self.ctr("images", "import", str(archive))
        return True

    def ctr(self, *words: str) -> str:
        """Run containerd's own client on this node.

        Raises:
            CommandError: it failed.

        """
        address = f"--address={self.directories.socket}"
        return run([binary("ctr"), address, f"--namespace={image_store.NAMESPACE}", *words])

    def leftovers(self) -> list[str]:
        """What a stopped node should not have."""
        left = [f"process {pid} in cgroup {self.cgroup}" for pid in sorted(cgroups.processes(self.cgroup))]
        left += [f"mount {point}" for point in mounts.below(self.directories.home)]
        left += [f"CNI result {path}" for path in self._cni_results()]
        return left

    def _runtime_ready(self) -> bool:
        try:
            self.ctr("version")
        except CommandError:
            return False
        return True

    def _containerd(self) -> Daemon:
        config = self.directories.home / "containerd.toml"
        # It finds its shim on PATH.
        path = (
            f"{binary('containerd-shim-runc-v2').parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        return self._daemon("containerd", (str(binary("containerd")), f"--config={config}"), {"PATH": path})

    def _kubelet(self) -> Daemon:
        plane, name = self.plane, f"system:node:{self.name}"
        kubeconfig = plane.client(f"kubelet-{self.name}", common_name=name, organization="system:nodes")
        serving = plane.authority.issue(
            f"kubelet-serving-{self.name}", common_name=name, addresses=[self.addresses.address], names=[self.name]
        )
        config = files.write(
            self.directories.home / "kubelet.yaml",
            node_configs.kubelet(
                self.directories,
                self.addresses,
                cgroup=self.cgroup,
                authority=plane.authority.pair.certificate,
                serving=serving,
            ),
        )
        arguments = node_configs.kubelet_arguments(
            self.directories, self.addresses, config=config, kubeconfig=kubeconfig
        )
        return self._daemon("kubelet", (str(kube_link_dir() / "kubelet"), *arguments))

    def _kube_proxy(self) -> Daemon:
        return kube_proxy(
            self.plane,
            directory=self.directories.home,
            node=self.name,
            address=self.addresses.address,
            enter=self.network.enter(self.name),
        )

    def _daemon(self, name: str, argv: tuple[str, ...], environment: dict[str, str] | None = None) -> Daemon:
        enter = self.network.enter(self.name)
        return Daemon(name, argv, self.directories.home, self.plane.name, enter, environment or {}, favoured=True)

    def _shims(self) -> set[int]:
        """The shims of this containerd: they are told its address, and outlive it."""
        wanted = str(self.directories.socket)
        found = set()
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = file.read_bytes().decode(errors="replace").split("\0")
                if Path(words[0]).name == "containerd-shim-runc-v2" and wanted in words:
                    found.add(int(file.parent.name))
        return found

    def _cni_results(self) -> list[Path]:
        return sorted(_RESULTS.glob(f"{self.plane.name}-{self.name}-*"))


def kube_proxy(plane: ControlPlane, *, directory: Path, node: str, address: str, enter: list[str]) -> Daemon:
    """The kube-proxy of one network namespace; it acts for the Node object ``node``."""
    kubeconfig = plane.client("kube-proxy", common_name="system:kube-proxy")
    text = node_configs.kube_proxy(kubeconfig=kubeconfig, node=node, address=address)
    config = files.write(directory / "kube-proxy.yaml", text)
    argv = (str(kube_link_dir() / "kube-proxy"), f"--config={config}")
    return Daemon("kube-proxy", argv, directory, plane.name, enter, favoured=True)
