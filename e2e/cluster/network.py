"""The network of the local cluster: namespaces, links and zones.

One namespace is the control plane's and at the same time the router between the nodes; each node has a
namespace of its own, joined to the router by one link. Nothing touches the host's addresses, routes or
firewall, and nothing leads out: the cluster has no internet.

    router  10.90.0.1 on lo (API server), 10.90.N.254 on the link to node N
    node N  10.90.N.1 on eth0, pods 10.91.N.0/24 (the CNI plugin ptp: all pod traffic is routed)
    cluster IPs 10.92.0.0/16 (kube-proxy, in every namespace)

A zone is cut at the router: what would enter or leave through the links of its nodes is dropped, so its
kubelet loses the API server and its pods lose the other zones, while inside the zone everything still works.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import elsewhere, mounts
from e2e.host import CommandError, run

API_ADDRESS = "10.90.0.1"
POD_RANGE = "10.91.0.0/16"
SERVICE_RANGE = "10.92.0.0/16"
DNS_ADDRESS = "10.92.0.10"

_NAMESPACES = Path("/run/netns")
_NODE_LINK = "eth0"
_CUT = "trireme-cut-"
SPLIT_TABLE = "trireme-split"
"""The nftables table that keeps pods apart; not one of those that cut a zone or a node off."""


@dataclass(frozen=True)
class NodeNetwork:
    """The addresses of one node; ``index`` counts from 1."""

    node: str
    zone: str
    index: int

    @property
    def address(self) -> str:
        return f"10.90.{self.index}.1"

    @property
    def router_address(self) -> str:
        return f"10.90.{self.index}.254"

    @property
    def pods(self) -> str:
        return f"10.91.{self.index}.0/24"


class Network:
    """The namespaces ``<name>`` (router) and ``<name>-<node>``."""

    def __init__(self, name: str, nodes: Sequence[NodeNetwork]) -> None:
        self.name = name
        self.nodes = tuple(nodes)

    def namespace(self, node: str | None = None) -> str:
        """The name of a node's namespace, or the router's."""
        return self.name if node is None else f"{self.name}-{node}"

    def enter(self, node: str | None = None) -> list[str]:
        """Words that run a program in a node's namespace, or the router's."""
        return [*elsewhere.enter(self.path(node))]

    def path(self, node: str | None = None) -> Path:
        """The file that stands for a node's namespace, or the router's."""
        return _NAMESPACES / self.namespace(node)

    def up(self) -> None:
        """Make what is missing."""
        self._add_namespace(None)
        self._ip(None, "address", "replace", f"{API_ADDRESS}/32", "dev", "lo")
        self._forward(None)
        for node in self.nodes:
            self._add_namespace(node.node)
            self._forward(node.node)
            self._link(node)
        # kube-proxy rewrites cluster IPs before they leave, but a destination without any route is refused earlier.
        first = self.nodes[0]
        self._ip(None, "route", "replace", SERVICE_RANGE, "via", first.address, "src", API_ADDRESS)

    def down(self) -> None:
        """Remove all of it; the links go with their namespaces."""
        for name in self.existing():
            run(["ip", "netns", "delete", name])

    def existing(self) -> list[str]:
        """The namespaces that are there."""
        names = [self.namespace(), *(self.namespace(node.node) for node in self.nodes)]
        return [name for name in names if (_NAMESPACES / name).exists()]

    def processes(self) -> set[int]:
        """The processes that are in the namespaces, whoever started them (a forgotten ``kubectl port-forward``)."""
        ours = {(_NAMESPACES / name).stat().st_ino for name in self.existing()}
        found = set()
        for link in Path("/proc").glob("[0-9]*/ns/net"):
            with suppress(OSError):  # it ended meanwhile
                if link.stat().st_ino in ours:
                    found.add(int(link.parts[2]))
        return found

    def drop_pod_links(self, node: str) -> None:
        """Remove the node's ends of the links to pods that are gone.

        The kernel removes them some time after a pod's namespace; until then their routes keep a pod that is given the
        same address from getting its own, and then it has none.
        """
        if not (_NAMESPACES / self.namespace(node)).exists():
            return
        for link in pod_links(run(["ip", "-netns", self.namespace(node), "-oneline", "link", "show", "type", "veth"])):
            with suppress(CommandError):  # the kernel was faster
                self._ip(node, "link", "delete", link)

    def cut(self, zone: str) -> None:
        """Drop everything between a zone's nodes and the rest; does nothing to a zone that is cut.

        Raises:
            ValueError: there is no such zone.

        """
        self._drop(zone, self._links(zone))

    def heal(self, zone: str) -> None:
        """Let a zone's traffic through again; does nothing to a zone that is not cut.

        Raises:
            ValueError: there is no such zone.

        """
        self._links(zone)
        self._pass(zone)

    def unplug(self, node: str) -> None:
        """Drop everything that enters or leaves one node, as when its machine is dead: not even a refusal."""
        self._drop(node, [node])

    def plug(self, node: str) -> None:
        """Undo ``unplug``; does nothing to a node that is plugged in."""
        self._pass(node)

    def split(self, one: Sequence[str], other: Sequence[str]) -> None:
        """Drop everything between two sets of pods' addresses, wherever they are; in place of what was split before."""
        rules = split_rules(one, other)
        for enter in self._present():
            run([*enter, "nft", "-f", "-"], input=rules)

    def join(self) -> None:
        """Undo ``split``; does nothing when nothing is split."""
        for enter in self._present():
            if SPLIT_TABLE in run([*enter, "nft", "list", "tables"]).split():
                run([*enter, "nft", "delete", "table", "inet", SPLIT_TABLE])

    def cut_zones(self) -> list[str]:
        """The zones that are cut."""
        dropped = self._dropped()
        return sorted({node.zone for node in self.nodes} & dropped)

    def _present(self) -> list[list[str]]:
        """Words that run a program in each namespace that is there; every packet between pods is routed in one."""
        there = set(self.existing())
        return [
            self.enter(node) for node in (None, *(each.node for each in self.nodes)) if self.namespace(node) in there
        ]

    def _drop(self, what: str, links: Sequence[str]) -> None:
        run([*self.enter(), "nft", "-f", "-"], input=cut_rules(what, links))

    def _pass(self, what: str) -> None:
        if what in self._dropped():
            run([*self.enter(), "nft", "delete", "table", "inet", cut_table(what)])

    def _dropped(self) -> set[str]:
        return dropped_in(run([*self.enter(), "nft", "list", "tables"]))

    def _links(self, zone: str) -> list[str]:
        links = [node.node for node in self.nodes if node.zone == zone]
        if not links:
            zones = ", ".join(sorted({node.zone for node in self.nodes}))
            raise ValueError(f"no zone {zone!r} in {self.name}: there are {zones}")
        return links

    def _add_namespace(self, node: str | None) -> None:
        name = self.namespace(node)
        path = _NAMESPACES / name
        if path.exists() and not mounts.below(path):  # left by a reboot or a crash: a file that is no namespace
            path.unlink()
        if not path.exists():
            run(["ip", "netns", "add", name])
        self._ip(node, "link", "set", "lo", "up")

    def _forward(self, node: str | None) -> None:
        run([*self.enter(node), "sysctl", "-qw", "net.ipv4.ip_forward=1"])

    def _link(self, node: NodeNetwork) -> None:
        try:
            self._ip(None, "link", "show", "dev", node.node)
        except CommandError:
            peer = ["peer", "name", _NODE_LINK, "netns", self.namespace(node.node)]
            self._ip(None, "link", "add", node.node, "type", "veth", *peer)
        self._ip(None, "address", "replace", f"{node.router_address}/24", "dev", node.node)
        self._ip(None, "link", "set", node.node, "up")
        self._ip(node.node, "address", "replace", f"{node.address}/24", "dev", _NODE_LINK)
        self._ip(node.node, "link", "set", _NODE_LINK, "up")
        self._ip(node.node, "route", "replace", "default", "via", node.router_address)
        self._ip(None, "route", "replace", node.pods, "via", node.address)

    def _ip(self, node: str | None, *words: str) -> None:
        run(["ip", "-netns", self.namespace(node), *words])


def pod_links(links: str) -> list[str]:
    """The links to pods, from the output of ``ip -oneline link show``: all but the node's own to the router."""
    names = [line.split(": ")[1].partition("@")[0] for line in links.splitlines() if ": " in line]
    return [name for name in names if name != _NODE_LINK]


def cut_rules(what: str, links: Sequence[str]) -> str:
    """The nftables script that drops everything on ``links``, in a table named after ``what`` is cut off.

    Running it again changes nothing.
    """
    table = f"table inet {cut_table(what)}"
    names = ", ".join(f'"{link}"' for link in links)
    incoming, outgoing = f"iifname {{ {names} }} drop", f"oifname {{ {names} }} drop"

    def chain(hook: str, *rules: str) -> str:
        body = "; ".join([f"type filter hook {hook} priority -10", "policy accept", *rules])
        return f"  chain {hook} {{ {body}; }}\n"

    # Not output: there a packet for a cluster IP still counts as one for the link of the default route.
    chains = chain("input", incoming) + chain("postrouting", outgoing) + chain("forward", incoming)
    return f"{table}\ndelete {table}\n{table} {{\n{chains}}}\n"


def split_rules(one: Sequence[str], other: Sequence[str]) -> str:
    """The nftables script that drops what is routed between two sets of addresses, either way.

    Running it again changes nothing.

    Raises:
        ValueError: a set is empty.

    """
    if not one or not other:
        raise ValueError("nothing to keep apart: each side needs an address")
    table = f"table inet {SPLIT_TABLE}"
    here, there = (f"{{ {', '.join(each)} }}" for each in (one, other))
    chain = "type filter hook forward priority -10; policy accept"
    there_and_back = f"ip saddr {here} ip daddr {there} drop; ip saddr {there} ip daddr {here} drop"
    return f"{table}\ndelete {table}\n{table} {{\n  chain forward {{ {chain}; {there_and_back}; }}\n}}\n"


def cut_table(what: str) -> str:
    """The name of the nftables table that cuts off ``what`` (a zone or a node)."""
    return f"{_CUT}{what}"


def dropped_in(tables: str) -> set[str]:
    """What is cut off, from the output of ``nft list tables``."""
    return {word.removeprefix(_CUT) for word in tables.split() if word.startswith(_CUT)}
