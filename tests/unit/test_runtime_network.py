"""The interface that the launcher chooses, and what it says about locked memory."""

from __future__ import annotations

import fcntl
import resource
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from trireme_runtime import command, network, rdma

POD = {"TRIREME_POD_IP": "127.0.0.1", "LWS_GROUP_SIZE": "2"}
ADDRESSES = """\
fd000000000000000000000000000007 02 40 00 80     eth0
fe8000000000000000fc00fffe000001 02 40 20 80     eth0
fd010000000000000000000000000007 03 80 00 80 net1
00000000000000000000000000000001 01 80 10 80       lo
"""


@pytest.fixture(autouse=True)
def _no_file_of_nccls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network, "_SYSTEM_FILE", tmp_path / "nccl.conf")


def test_every_address_of_every_interface_is_known() -> None:
    """Asked of the kernel in another way: SIOCGIFADDR, interface by interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        wanted = set()
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(any_socket, 0x8915, struct.pack("256s", name.encode()))
            except OSError:
                continue  # it has none
            wanted.add((name, answer[20:24]))
        assert ("lo", socket.inet_aton("127.0.0.1")) in wanted
        assert wanted <= set(network._ipv4_addresses(any_socket))


def test_the_interface_is_the_one_that_has_the_pods_address() -> None:
    assert network.choose(POD) == network.Network("127.0.0.1", "=lo", "lo", chosen="lo")
    assert network.holder("127.0.0.2") == "lo", "by the route, where no interface has it"


def test_ipv6_addresses_are_read_as_the_kernel_lists_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = tmp_path / "if_inet6"
    listed.write_text(ADDRESSES)
    monkeypatch.setattr(network, "_IPV6_ADDRESSES", listed)
    names = {socket.inet_ntop(socket.AF_INET6, address): name for name, address in network._ipv6_addresses()}
    assert names == {"fd00::7": "eth0", "fe80::fc:ff:fe00:1": "eth0", "fd01::7": "net1", "::1": "lo"}


@pytest.mark.parametrize("address", ["", "no address", "fe80::1%nowhere", "255.255.255.255"])
def test_without_an_interface_nothing_is_set(address: str) -> None:
    assert network.choose(POD | {"TRIREME_POD_IP": address}) == network.Network(address)


def test_a_group_of_one_pod_needs_none() -> None:
    assert network.choose(POD | {"LWS_GROUP_SIZE": "1"}).variables() == {}


@pytest.mark.parametrize(
    ("own", "want"),
    [
        ({"NCCL_SOCKET_IFNAME": "^docker"}, {"NCCL_SOCKET_IFNAME": "^docker", "GLOO_SOCKET_IFNAME": "lo"}),
        ({"GLOO_SOCKET_IFNAME": "net1"}, {"NCCL_SOCKET_IFNAME": "=lo", "GLOO_SOCKET_IFNAME": "net1"}),
    ],
)
def test_what_the_pod_says_wins(own: dict[str, str], want: dict[str, str]) -> None:
    assert network.choose(POD | own).variables() == want
    engine = command.engine_environment(POD | own)
    assert {name: engine[name] for name in want} == want


def test_what_the_pod_says_of_both_leaves_nothing_to_choose() -> None:
    both = {"NCCL_SOCKET_IFNAME": "=a,b", "GLOO_SOCKET_IFNAME": "a,b"}
    assert network.choose(POD | both) == network.Network("127.0.0.1", "=a,b", "a,b", chosen="")


@pytest.mark.parametrize("named_by", ["NCCL_CONF_FILE", "HOME", "the system"])
def test_a_file_of_nccls_is_not_overruled(named_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".nccl.conf"
    file.write_text("# NCCL_SOCKET_IFNAME==no\nNCCL_DEBUG=WARN\n NCCL_SOCKET_IFNAME==ens1\n")
    monkeypatch.setattr(network, "_SYSTEM_FILE", file if named_by == "the system" else tmp_path / "none")
    own = {"NCCL_CONF_FILE": {"NCCL_CONF_FILE": str(file)}, "HOME": {"HOME": str(tmp_path)}}.get(named_by, {})
    assert network.choose(POD | own).variables() == {"GLOO_SOCKET_IFNAME": "lo"}
    file.write_text("# NCCL_SOCKET_IFNAME==no\n")
    assert network.choose(POD | own).variables() == {"NCCL_SOCKET_IFNAME": "=lo", "GLOO_SOCKET_IFNAME": "lo"}


def test_without_rdma_devices_nothing_is_said_or_changed(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    assert rdma.prepare(tmp_path / "infiniband") == ""
    assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == before


def test_a_low_limit_of_locked_memory_is_raised_as_far_as_it_goes_and_said(tmp_path: Path) -> None:
    """In a process of its own: a limit that was lowered can't be raised again."""
    program = (
        "import pathlib, resource, sys; from trireme_runtime import rdma\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 8192))\n"
        "print(rdma.prepare(pathlib.Path(sys.argv[1])))\n"
        "print(resource.getrlimit(resource.RLIMIT_MEMLOCK))"
    )
    folder = Path(rdma.__file__).parents[1]
    argv = [sys.executable, "-c", program, str(tmp_path)]
    said, limits = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "limited to 8192 bytes" in said
    assert "LimitMEMLOCK=infinity" in said
    assert limits == "(8192, 8192)"
