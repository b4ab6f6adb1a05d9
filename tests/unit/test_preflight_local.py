"""What a pod sees by itself and of its ports: verdicts from tables, sockets and threads that are real."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.unit.pod_environment import POD
from trireme_runtime.environment import Preflight
from trireme_runtime.preflight import devices, local, ports
from trireme_runtime.preflight.devices import Device, DriverError, MissingLibraryError
from trireme_runtime.preflight.local import GIB, Looking
from trireme_runtime.preflight.ports import Connections, Listener, Target
from trireme_runtime.preflight.report import Check, Name

PAIR = replace(POD, ranks_per_pod=2)
FULL = Device("GPU-aaaa", free=79 * GIB, total=80 * GIB)
SECOND = replace(FULL, uuid="GPU-bbbb")


@pytest.mark.parametrize(
    ("size", "free", "want"),
    [
        pytest.param(8.0, 8.0, "", id="all of it"),
        pytest.param(4.0, 4.0, "/dev/shm has 4.00 GiB of the 8.00 GiB that spec.resources", id="too small"),
        pytest.param(8.0, 5.0, "5.00 GiB of 8.00 GiB of /dev/shm are free", id="in use"),
    ],
)
def test_shared_memory(size: float, free: float, want: str) -> None:
    check = local.of_shared_memory(POD, 8 * GIB, int(size * GIB), int(free * GIB))
    assert (check.passed, check.value, check.threshold, check.unit) == (not want, free, 8.0, "GiB")
    assert check.reason.startswith(want)


@pytest.mark.parametrize(
    ("found", "variables", "want"),
    [
        pytest.param([FULL, SECOND], {}, [], id="both there"),
        pytest.param([FULL], {}, ["1 of 2 devices are there"], id="one missing"),
        pytest.param(
            [FULL, SECOND],
            {"CUDA_VISIBLE_DEVICES": "1"},
            ["1 of 2 devices are there; 1 are hidden by CUDA_VISIBLE_DEVICES"],
            id="one hidden",
        ),
        pytest.param(
            [FULL, replace(SECOND, trouble="GPU is lost")], {}, ["GPU-bbbb: GPU is lost"], id="one is not healthy"
        ),
        pytest.param(
            [FULL, replace(SECOND, free=40 * GIB)],
            {},
            ["GPU-bbbb has 40.0 of 80.0 GiB free, and the engine takes 90%: another process uses the device"],
            id="memory taken",
        ),
        pytest.param([], {}, ["0 of 2 devices are there"], id="none"),
    ],
)
def test_devices(found: list[Device], variables: dict[str, str], want: list[str]) -> None:
    checks = local.of_devices(PAIR, ("vllm", "serve"), variables, lambda: found)
    assert [check.reason for check in checks if not check.passed] == want
    assert {check.name for check in checks} <= {"devices", "memory"}


def test_a_driver_that_does_not_work_is_named_and_one_that_is_missing_is_left_to_torch() -> None:
    def broken() -> list[Device]:
        raise DriverError("the NVIDIA driver does not work: Driver/library version mismatch")

    (check,) = local.of_devices(PAIR, (), {}, broken)
    assert (check.name, check.passed) == ("devices", False)
    assert "version mismatch" in check.reason
    assert local.of_devices(PAIR, (), {}, lambda: devices.read("libnvidia-ml-that-is-not-there.so")) == []
    with pytest.raises(MissingLibraryError, match="not in the container"):
        devices.read("libnvidia-ml-that-is-not-there.so")


@pytest.mark.parametrize(
    ("names", "want"),
    [
        (None, ["GPU-aaaa", "GPU-bbbb"]),
        ("1,0", ["GPU-bbbb", "GPU-aaaa"]),
        ("GPU-bb", ["GPU-bbbb"]),
        ("0,7,1", ["GPU-aaaa"]),
        ("0,0", ["GPU-aaaa"]),
        ("", []),
        ("-1", []),
    ],
)
def test_hidden_devices_are_hidden_as_cuda_does_it(names: str | None, want: list[str]) -> None:
    variables = {} if names is None else {"CUDA_VISIBLE_DEVICES": names}
    assert [device.uuid for device in devices.visible([FULL, SECOND], variables)] == want


@pytest.mark.parametrize(
    ("words", "want"),
    [
        ([], 0.9),
        (["--gpu-memory-utilization", "0.50"], 0.5),
        (["--gpu_memory_utilization=0.8", "--gpu-memory-utilization", "0.7"], 0.7),
        (["--gpu-memory-utilization", "much"], 0.9),
        (["--gpu-memory-utilization"], 0.9),
    ],
)
def test_the_share_of_memory_is_the_commands(words: list[str], want: float) -> None:
    assert local.memory_share(["vllm", "serve", *words]) == want


def test_the_leaders_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(host: str, port: int, **_: object) -> list[object]:
        if host != POD.leader_address:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert local.of_name(POD, "10.1.2.3").passed
    assert "leads to 10.1.2.3, and the leader is at 10.9.9.9" in local.of_name(POD, "10.9.9.9").reason
    nameless = local.of_name(replace(POD, leader_address="gone"), "10.1.2.3")
    assert "the leader's name gone cannot be resolved" in nameless.reason


@pytest.mark.parametrize(
    ("settings", "size", "want"),
    [
        (Preflight(enforced=False), 1, set()),
        (Preflight(enforced=False, shared_memory=1), 2, {Name.SHARED_MEMORY, Name.DNS}),
        (Preflight(enforced=False, accelerator="nvidia.com/gpu"), 1, {Name.DEVICES}),
        (Preflight(enforced=False, accelerator="nvidia.com/mig-1g.10gb"), 1, set()),
    ],
)
def test_what_is_looked_at(settings: Preflight, size: int, want: set[Name]) -> None:
    assert set(local.looks(replace(POD, group_size=size), settings, ("vllm",), "10.1.2.3")) == want


def failed(name: Name, reason: str) -> Check:
    return Check(name.value, passed=False, pod="g-0", reason=reason)


def test_a_look_that_hangs_fails_in_time_and_one_that_breaks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_ANSWER_SECONDS", 0.3)
    release = threading.Event()

    def hang() -> list[Check]:
        release.wait(20)
        return []

    def fall() -> list[Check]:
        raise ValueError("why")

    looking = Looking({Name.DEVICES: hang, Name.DNS: fall}, failed)
    assert not looking.done(time.monotonic())
    later = time.monotonic() + 0.4
    assert looking.done(later)
    reasons = {check.name: check.reason for check in looking.checks(later)}
    release.set()
    assert reasons == {"devices": "no answer within 0.3 s", "dns": "ValueError: why"}


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener("127.0.0.1", 0, "trireme preflight uid g-0-1\n")
    yield found
    found.close()


def connections(*targets: Target) -> Connections:
    found = Connections(targets)
    deadline = time.monotonic() + 10
    while not found.done:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_an_open_port_is_reached_and_closed_ones_are_named(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CONNECT_SECONDS", 0.5)
    good = Target("g-0-1", "127.0.0.1", listener.port, "trireme preflight uid g-0-1\n")
    stranger = replace(good, pod="g-0-2", greeting="trireme preflight uid g-0-2\n")
    with socket.create_server(("127.0.0.1", 0)) as mute, socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # nobody listens, and nobody else gets the port
        silent = replace(good, pod="g-0-3", port=mute.getsockname()[1])
        closed = replace(good, pod="g-0-4", port=reserved.getsockname()[1])
        found = connections(good, stranger, silent, closed)
    assert set(found.failed) == {stranger, silent, closed}
    assert "answered by another program" in found.failed[stranger]
    assert "does not answer within 0.5 s" in found.failed[silent]
    assert "Connection refused" in found.failed[closed]


def test_a_port_is_free_again_when_it_is_closed() -> None:
    first = Listener("127.0.0.1", 0, "x")
    port = first.port
    assert connections(Target("p", "127.0.0.1", port, "x")).failed == {}
    first.close()
    again = Listener("127.0.0.1", port, "y")
    assert connections(Target("p", "127.0.0.1", port, "y")).failed == {}
    again.close()
