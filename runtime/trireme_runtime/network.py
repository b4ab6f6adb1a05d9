"""The network interface that the ranks of this pod talk over, where nobody named one.

NCCL by itself takes the first interface whose name begins with ``ib``, else any that is up but loopback and docker's
(NCCL's src/misc/socket.cc); Gloo takes the one that the pod's host name resolves to. In a pod with several interfaces
either may be one that the other pods can't reach, and the group then hangs at its start. The pod's IP is what the
other pods connect to, so its interface is the safe choice.

Sources: NCCL's user guide, "Environment Variables" (``=`` in front means exact names, a file may set what the
environment doesn't); torch takes ``GLOO_SOCKET_IFNAME`` as exact names.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trireme_runtime import rdma

NCCL = "NCCL_SOCKET_IFNAME"
GLOO = "GLOO_SOCKET_IFNAME"

_SIOCGIFCONF = 0x8912
_REQUEST = struct.Struct("16s16s8x") if sys.maxsize > 1 << 32 else struct.Struct("16s16s")
"""``struct ifreq``: a name, and a union whose first 16 bytes are the address here."""
_MAX_ADDRESSES = 1024
_ADDRESS_AT = 4
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")
_IPV6_FIELDS = 6
_SYSTEM_FILE = Path("/etc/nccl.conf")
_ANY_PORT = 9


@dataclass(frozen=True)
class Network:
    """What the engine is told, as the variables have it; empty where it is not told anything.

    chosen: the interface that the launcher chose; empty where it had nothing to choose, or found none.
    warning: why RDMA devices may not work.
    """

    address: str = ""
    nccl: str = ""
    gloo: str = ""
    chosen: str = ""
    warning: str = ""

    def variables(self) -> dict[str, str]:
        """The engine's variables for it."""
        return {name: value for name, value in ((NCCL, self.nccl), (GLOO, self.gloo)) if value}

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def prepare(variables: Mapping[str, str]) -> Network:
    """The same as ``choose``, and this process and its children may lock as much memory as they are allowed to."""
    return replace(choose(variables), warning=rdma.prepare())


def choose(variables: Mapping[str, str]) -> Network:
    """What the pod's own variables say, and where they say nothing the interface that has the pod's IP.

    A group of one pod needs no network; there nothing is chosen.
    """
    nccl, gloo = variables.get(NCCL, ""), variables.get(GLOO, "")
    nccl_open = not nccl and not _in_a_file(variables)
    address = variables.get("TRIREME_POD_IP", "")
    alone = variables.get("LWS_GROUP_SIZE", "1") == "1"
    found = holder(address) if not alone and (nccl_open or not gloo) else ""
    if not found:
        return Network(address, nccl, gloo)
    return Network(address, f"={found}" if nccl_open else nccl, gloo or found, chosen=found)


def holder(address: str) -> str:
    """The interface that packets to ``address`` leave by in this network namespace; empty when there is none.

    An address of the pod itself is on the interface that has it; any other (behind a translation, say) is reached by
    a route, whose interface it is. No packet is sent.
    """
    if not address:
        return ""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, _ANY_PORT))
        source = socket.inet_pton(family, probe.getsockname()[0].partition("%")[0])
        held = _ipv6_addresses() if family == socket.AF_INET6 else _ipv4_addresses(probe)
        return next((name for name, each in held if each == source), "")
    return ""


def _ipv4_addresses(any_socket: socket.socket) -> Iterator[tuple[str, bytes]]:
    """Every IPv4 address with its interface: netdevice(7), SIOCGIFCONF."""
    room = array.array("B", bytes(_REQUEST.size * _MAX_ADDRESSES))
    start, _ = room.buffer_info()
    # struct ifconf: a length, and a pointer aligned as such.
    answer = fcntl.ioctl(any_socket, _SIOCGIFCONF, struct.pack("iP", len(room), start))
    used, _ = struct.unpack("iP", answer)
    for name, address in _REQUEST.iter_unpack(room.tobytes()[: used - used % _REQUEST.size]):
        # A second address may carry a label, "eth0:1", which is no interface.
        yield name.rstrip(b"\0").decode().partition(":")[0], address[_ADDRESS_AT : _ADDRESS_AT + 4]


def _ipv6_addresses() -> Iterator[tuple[str, bytes]]:
    """Every IPv6 address with its interface: address, index, prefix, scope, flags, name."""
    for line in _IPV6_ADDRESSES.read_text().splitlines():
        fields = line.split()
        if len(fields) == _IPV6_FIELDS:
            yield fields[-1], bytes.fromhex(fields[0])


def _in_a_file(variables: Mapping[str, str]) -> bool:
    """Whether a file of NCCL's in the image names the interface: the environment would win over it."""
    own = variables.get("NCCL_CONF_FILE")
    for path in (Path(own) if own else Path(variables.get("HOME", "/"), ".nccl.conf"), _SYSTEM_FILE):
        with contextlib.suppress(OSError):
            if any(line.strip().startswith(NCCL) for line in path.read_text(errors="replace").splitlines()):
                return True
    return False
