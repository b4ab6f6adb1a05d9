"""What one pod can see by itself: its devices, its shared memory, the name of its leader."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from trireme_runtime.environment import Environment, Preflight
from trireme_runtime.preflight import devices, driver
from trireme_runtime.preflight.devices import Device, DriverError, MissingLibraryError
from trireme_runtime.preflight.report import Check, Name

GIB = 1 << 30
SHARED_MEMORY = "/dev/shm"  # noqa: S108
_ANSWER_SECONDS = driver.ANSWER_SECONDS
"""A name server, and the driver of a broken device, may never answer."""
_DEFAULT_MEMORY_SHARE = 0.9
"""Of a device that the engine takes where its command doesn't say: vLLM's default is 0.92 (0.32) or 0.90 (older)."""
_SHARE_FLAG = "--gpu-memory-utilization"
_ROUNDING_BYTES = 1 << 20
_NVIDIA = "nvidia.com/gpu"
_JUDGED = (_NVIDIA, "amd.com/gpu")
"""Devices that torch counts as one each; parts of devices and other makers' are not judged."""


def is_judged(accelerator: str) -> bool:
    """Whether torch must see a device for each rank of the pod."""
    return accelerator.startswith(_JUDGED)


class Looking:
    """The looks at this pod, each in a thread of its own with a time limit. One that hangs is a check that failed."""

    def __init__(self, looks: Mapping[Name, Callable[[], list[Check]]], failed: Callable[[Name, str], Check]) -> None:
        self._failed = failed
        self._deadline = time.monotonic() + _ANSWER_SECONDS
        self._results: dict[Name, list[Check] | None] = dict.fromkeys(looks)
        for name, look in looks.items():
            threading.Thread(target=self._run, args=(name, look), name=f"preflight-{name.value}", daemon=True).start()

    def _run(self, name: Name, look: Callable[[], list[Check]]) -> None:
        try:
            self._results[name] = look()
        except Exception as error:  # noqa: BLE001 - a look that breaks must not pass
            self._results[name] = [self._failed(name, f"{type(error).__name__}: {error}")]

    def done(self, now: float) -> bool:
        return now >= self._deadline or None not in self._results.values()

    def checks(self, now: float) -> list[Check]:
        """What is known now."""
        found: list[Check] = []
        for name, checks in list(self._results.items()):
            if checks is not None:
                found += checks
            elif now >= self._deadline:
                found.append(self._failed(name, f"no answer within {_ANSWER_SECONDS:g} s"))
        return found


def looks(
    environment: Environment, settings: Preflight, command: Sequence[str], leader_address: str
) -> dict[Name, Callable[[], list[Check]]]:
    """What there is to look at in this pod."""
    found: dict[Name, Callable[[], list[Check]]] = {}
    if settings.accelerator.startswith(_NVIDIA):
        found[Name.DEVICES] = lambda: of_devices(environment, command, os.environ)
    if settings.shared_memory:
        found[Name.SHARED_MEMORY] = lambda: [of_shared_memory(environment, settings.shared_memory, *_space())]
    if environment.group_size > 1:
        found[Name.DNS] = lambda: [of_name(environment, leader_address)]
    return found


def _space() -> tuple[int, int]:
    found = os.statvfs(SHARED_MEMORY)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def of_shared_memory(environment: Environment, asked: int, size: int, free: int) -> Check:
    """The pod's shared memory against the bytes that ``spec.resources.sharedMemory`` asks for."""
    reason = ""
    if size + _ROUNDING_BYTES < asked:
        reason = (
            f"{SHARED_MEMORY} has {size / GIB:.2f} GiB of the {asked / GIB:.2f} GiB that spec.resources.sharedMemory"
            " asks for: the memory limit of the pod, or of its node, is lower"
        )
    elif free + _ROUNDING_BYTES < asked:
        reason = f"{free / GIB:.2f} GiB of {asked / GIB:.2f} GiB of {SHARED_MEMORY} are free: something else uses it"
    return _check(
        environment,
        Name.SHARED_MEMORY,
        reason,
        value=round(free / GIB, 2),
        unit="GiB",
        threshold=round(asked / GIB, 2),
    )


def of_name(environment: Environment, leader_address: str) -> Check:
    """The leader's name against the address at which the leader answers."""
    name = environment.leader_address
    began = time.monotonic()
    try:
        found = socket.getaddrinfo(name, environment.launcher_port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return _check(environment, Name.DNS, f"the leader's name {name} cannot be resolved: {error}")
    seconds = round(time.monotonic() - began, 3)
    addresses = [str(each[4][0]) for each in found]
    reason = ""
    if ipaddress.ip_address(leader_address) not in {ipaddress.ip_address(each) for each in addresses}:
        reason = f"the leader's name {name} leads to {addresses[0]}, and the leader is at {leader_address}"
    return _check(environment, Name.DNS, reason, value=seconds, unit="s")


def of_devices(
    environment: Environment,
    command: Sequence[str],
    variables: Mapping[str, str],
    read: Callable[[], list[Device]] = driver.ask,
) -> list[Check]:
    """Count, health and free memory of NVIDIA devices; none where the driver's library is missing.

    Without the library torch is asked, which is started anyway.
    """
    try:
        present = read()
    except MissingLibraryError:
        return []
    except DriverError as error:
        return [_check(environment, Name.DEVICES, str(error))]
    found = devices.visible(present, variables)
    return [_of_count(environment, found, len(present)), *_of_memory(environment, found, memory_share(command))]


def _of_count(environment: Environment, found: Sequence[Device], present: int) -> Check:
    wanted = environment.ranks_per_pod
    reason = "; ".join(f"{device.uuid}: {device.trouble}" for device in found if device.trouble)
    if len(found) < wanted:
        hidden = f"; {present - len(found)} are hidden by CUDA_VISIBLE_DEVICES" if present > len(found) else ""
        reason = f"{len(found)} of {wanted} devices are there{hidden}" + (f"; {reason}" if reason else "")
    return _check(environment, Name.DEVICES, reason, value=len(found), unit="devices", threshold=wanted)


def _of_memory(environment: Environment, found: Sequence[Device], share: float) -> list[Check]:
    """Free memory of the fullest device: the engine refuses to start when its share is not free."""
    sound = [device for device in found[: environment.ranks_per_pod] if device.total]
    if not sound:
        return []
    fullest = min(sound, key=lambda device: device.free - share * device.total)
    wanted = share * fullest.total
    reason = ""
    if fullest.free < wanted:
        reason = (
            f"{fullest.uuid} has {fullest.free / GIB:.1f} of {fullest.total / GIB:.1f} GiB free, and the engine takes"
            f" {share:.0%}: another process uses the device"
        )
    value, threshold = round(fullest.free / GIB, 1), round(wanted / GIB, 1)
    return [_check(environment, Name.MEMORY, reason, value=value, unit="GiB", threshold=threshold)]


def memory_share(command: Sequence[str]) -> float:
    """Of each device's memory that the engine's command asks for; the last of two equal flags wins in vLLM."""
    share = _DEFAULT_MEMORY_SHARE
    for index, word in enumerate(command):
        flag, equals, value = word.partition("=")
        if flag.replace("_", "-") == _SHARE_FLAG:
            text = value if equals else next(iter(command[index + 1 : index + 2]), "")
            try:
                share = float(text)
            except ValueError:
                continue  # the engine says so itself
    return share


def _check(
    environment: Environment,
    name: Name,
    reason: str,
    *,
    value: float | None = None,
    unit: str = "",
    threshold: float | None = None,
) -> Check:
    return Check(
        name=name.value,
        passed=not reason,
        pod=environment.pod_name,
        node=environment.node_name,
        value=value,
        unit=unit,
        threshold=threshold,
        reason=reason,
    )
