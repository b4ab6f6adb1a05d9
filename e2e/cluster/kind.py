"""A cluster made by kind, for machines with Docker."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from e2e import cache
from e2e.cluster import context, image_store, nodes_status
from e2e.cluster.network import SPLIT_TABLE, cut_rules, cut_table, dropped_in, split_rules
from e2e.cluster.provider import ZONES, ClusterStatus, require_node, require_zone
from e2e.host import CommandError, run
from e2e.progress import step
from e2e.toolchain import binary

_LINK = "eth0"
"""The link of a node's container to Docker's network."""


class Run(Protocol):
    """Runs a program to its end and returns what it wrote; tests put their own in place of ``e2e.host.run``."""

    def __call__(self, argv: Sequence[str | Path], *, input: str | None = None) -> str: ...  # noqa: A002


class KindCluster:
    """The cluster ``trireme-kind``: a control plane and three workers, each a container."""

    name = "trireme-kind"

    def __init__(self, run: Run = run) -> None:
        self._run = run
        # kind numbers its workers, and the first has no number
        suffixes = ("", *(str(number) for number in range(2, len(ZONES) + 1)))
        self._containers = {node: f"{self.name}-worker{suffix}" for node, suffix in zip(ZONES, suffixes, strict=True)}

    @property
    def context(self) -> str:
        """The name kind gives the context."""
        return f"kind-{self.name}"

    def up(self) -> None:
        if not (self._exists() and self._created.exists()):
            self._create()
        for zone in ZONES.values():
            self.heal_zone(zone)
        self.join_pods()
        for node in ZONES:
            self._run(["docker", "start", self._containers[node]])
        self._write_kubeconfig()
        self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s")

    def down(self, *, keep_images: bool = False) -> None:  # noqa: ARG002  (a worker's images go with its container)
        self._kind("delete", "cluster", f"--name={self.name}", f"--kubeconfig={self._file}")
        shutil.rmtree(self._directory, ignore_errors=True)

    def status(self) -> ClusterStatus:
        if not self._exists():
            return ClusterStatus(running=False, api_ready=False, nodes=())
        try:
            output = self.kubectl("get", "nodes", "--output=json", "--request-timeout=5s")
        except (CommandError, context.ContextError):
            return ClusterStatus(running=True, api_ready=False, nodes=())
        nodes = nodes_status.parse(output, {container: node for node, container in self._containers.items()})
        cut = tuple(zone for zone in ZONES.values() if any(self._cut(node, zone) for node in _nodes_of(zone)))
        return ClusterStatus(running=True, api_ready=True, nodes=nodes, cut_zones=cut)

    def kubeconfig(self) -> Path:
        context.require_own(self._file, self.context)
        return self._file

    def command(self, *argv: str) -> list[str]:
        """On Linux in the network of the control plane's container; elsewhere it has no network to be entered."""
        if sys.platform != "linux":
            return list(argv)
        pid = self._run(["docker", "inspect", "--format={{.State.Pid}}", f"{self.name}-control-plane"]).strip()
        sudo = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=PATH"]
        return [*sudo, "nsenter", f"--net=/proc/{pid}/ns/net", "--", *argv]

    def kubectl_command(self, *words: str) -> list[str]:
        context.refuse_elsewhere(words)
        own = [f"--kubeconfig={self.kubeconfig()}", f"--cache-dir={self._directory / 'kubectl-cache'}"]
        return self.command(str(binary("kubectl")), *own, *words)

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        return self._run(self.kubectl_command(*args), input=input)

    def load_image(self, archive: Path, *, nodes: Sequence[str] = ()) -> None:
        for node in nodes:
            require_node(node)
        wanted = image_store.archived(archive)
        containers = [self._containers[node] for node in nodes or ZONES]
        missing = [each for each in containers if not image_store.complete(wanted, self._images(each))]
        if missing:
            self._kind("load", "image-archive", str(archive), f"--name={self.name}", f"--nodes={','.join(missing)}")

    def stop_node(self, node: str) -> None:
        require_node(node)
        self._run(["docker", "stop", "--time=0", self._containers[node]])

    def start_node(self, node: str) -> None:
        require_node(node)
        self._run(["docker", "start", self._containers[node]])
        self.kubectl("wait", "--for=condition=Ready", f"node/{self._containers[node]}", "--timeout=180s")

    def cut_zone(self, zone: str) -> None:
        require_zone(zone)
        for node in _nodes_of(zone):
            self._inside(node, "nft", "-f", "-", text=cut_rules(zone, [_LINK]))

    def heal_zone(self, zone: str) -> None:
        require_zone(zone)
        for node in _nodes_of(zone):
            if self._cut(node, zone):
                self._inside(node, "nft", "delete", "table", "inet", cut_table(zone))

    def split_pods(self, one: Sequence[str], other: Sequence[str]) -> None:
        rules = split_rules(one, other)
        for node in ZONES:
            self._inside(node, "nft", "-f", "-", text=rules)

    def join_pods(self) -> None:
        for node in ZONES:
            if SPLIT_TABLE in self._tables(node).split():
                self._inside(node, "nft", "delete", "table", "inet", SPLIT_TABLE)

    @property
    def _directory(self) -> Path:
        return cache.root() / "clusters" / self.name

    @property
    def _file(self) -> Path:
        return self._directory / "kubeconfig"

    @property
    def _created(self) -> Path:
        """There once kind was done: the containers of a creation that was interrupted look like a cluster."""
        return self._directory / "created"

    def _create(self) -> None:
        config = self._directory / "kind.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(configuration())
        self._created.unlink(missing_ok=True)
        if self._exists():
            self._kind("delete", "cluster", f"--name={self.name}", f"--kubeconfig={self._file}")
        words = ["create", "cluster", f"--name={self.name}", f"--config={config}", "--wait=180s"]
        with step("create the kind cluster", expected_seconds=60):
            self._kind(*words, f"--kubeconfig={self._file}")
        self._created.touch()

    def _exists(self) -> bool:
        return self.name in self._kind("get", "clusters").split()

    def _kind(self, *words: str) -> str:
        return self._run([binary("kind"), *words])

    def _inside(self, node: str, *words: str, text: str | None = None) -> str:
        return self._run(["docker", "exec", "--interactive", self._containers[node], *words], input=text)

    def _cut(self, node: str, zone: str) -> bool:
        return zone in dropped_in(self._tables(node))

    def _tables(self, node: str) -> str:
        try:
            return self._inside(node, "nft", "list", "tables")
        except CommandError:  # the container is stopped, and rules go with its network
            return ""

    def _images(self, container: str) -> dict[str, str]:
        ctr = ["ctr", f"--namespace={image_store.NAMESPACE}", "images", "list"]
        return image_store.listed(self._run(["docker", "exec", container, *ctr]))

    def _write_kubeconfig(self) -> None:
        """The kubeconfig of kind; on Linux with the container's address, which ``command`` reaches too."""
        self._kind("export", "kubeconfig", f"--name={self.name}", f"--kubeconfig={self._file}")
        if sys.platform == "linux":
            template = "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
            address = self._run(["docker", "inspect", template, f"{self.name}-control-plane"]).strip()
            server = f"--server=https://{address}:6443"
            edit = ["config", f"--kubeconfig={self._file}", "set-cluster", self.context, server]
            self._run([binary("kubectl"), *edit])


def configuration() -> str:
    """The configuration of kind: a control plane, and a labelled worker for each zone (JSON is YAML)."""
    workers = [{"role": "worker", "labels": {"topology.kubernetes.io/zone": zone}} for zone in ZONES.values()]
    nodes = [{"role": "control-plane"}, *workers]
    return json.dumps({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes}, indent=1)


def _nodes_of(zone: str) -> list[str]:
    return [node for node, of in ZONES.items() if of == zone]
