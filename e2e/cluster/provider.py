"""What the rest of the project knows of a cluster, whichever way it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ZONES = {"node-a": "zone-a", "node-b": "zone-b", "node-c": "zone-c"}
"""Every cluster's workers and the zones they are labelled with (``topology.kubernetes.io/zone``)."""


class ClusterError(RuntimeError):
    """A cluster cannot do what was asked for; the message says why and what to do."""


@dataclass(frozen=True)
class NodeStatus:
    name: str
    zone: str
    ready: bool


@dataclass(frozen=True)
class ClusterStatus:
    running: bool
    """Some part of the cluster runs."""
    api_ready: bool
    nodes: tuple[NodeStatus, ...]
    cut_zones: tuple[str, ...] = ()


class Cluster(Protocol):
    """One cluster with three nodes in three zones.

    Every method that acts raises ClusterError, ContextError or CommandError when it cannot.
    """

    @property
    def name(self) -> str: ...

    def up(self) -> None:
        """Make the cluster, or what is missing of it, and return when its nodes and its DNS are ready."""

    def down(self, *, keep_images: bool = False) -> None:
        """Remove the cluster and all it made, except, if wanted, the images on its nodes."""

    def status(self) -> ClusterStatus: ...

    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, a file of the cluster's own in the cache.

        Its server is reached by programs that run through ``command``.
        """

    def command(self, *argv: str) -> list[str]:
        """The argv that runs a program where the addresses of nodes, pods and Services are reachable."""

    def kubectl_command(self, *words: str) -> list[str]:
        """The argv that runs kubectl on this cluster and no other."""

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002  (the name subprocess gives it)
        """Run kubectl to its end and return what it wrote to standard output."""

    def load_image(self, archive: Path, *, nodes: Sequence[str] = ()) -> None:
        """Put the images of an OCI archive on nodes (all, unless named), where they are missing."""

    def stop_node(self, node: str) -> None:
        """Let a node die as a machine does that loses its power; its disk remains."""

    def start_node(self, node: str) -> None:
        """Start a node again and return when it is Ready."""

    def cut_zone(self, zone: str) -> None:
        """Cut a zone's network off from the other zones and from the control plane; inside, all goes on."""

    def heal_zone(self, zone: str) -> None:
        """Undo ``cut_zone``."""

    def split_pods(self, one: Sequence[str], other: Sequence[str]) -> None:
        """Drop everything between two sets of pods' addresses; each side reaches all the rest."""

    def join_pods(self) -> None:
        """Undo ``split_pods``; does nothing when nothing is split."""


def require_node(node: str) -> None:
    """Raise ClusterError unless ``node`` is one of ZONES."""
    if node not in ZONES:
        raise ClusterError(f"no node {node!r}: there are {', '.join(ZONES)}")


def require_zone(zone: str) -> None:
    """Raise ClusterError unless ``zone`` is one of ZONES."""
    if zone not in ZONES.values():
        raise ClusterError(f"no zone {zone!r}: there are {', '.join(ZONES.values())}")
