"""Processes of pods, found and ended as a crash would: by signal, from outside the container."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from e2e.api import Api
from e2e.stack import NAMESPACE


def of_pod(uid: str) -> list[int]:
    """Process ids whose cgroup belongs to the pod (cgroupfs and systemd spell its UID differently)."""
    spellings = (f"pod{uid}", f"pod{uid.replace('-', '_')}")
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            cgroups = (entry / "cgroup").read_text()
        except OSError:
            continue
        if any(spelling in cgroups for spelling in spellings):
            found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Whether the process is there and not only waits to be buried."""
    return _status(pid, "State")[:1] not in {"", "Z", "X"}


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def launcher(uid: str) -> int:
    """The launcher of a pod: process 1 of the engine's container, by its number on this machine.

    Raises ProcessLookupError when the pod has none here.
    """
    for pid in of_pod(uid):
        if _number_inside(pid) == 1 and "runtime.pyz" in command_line(pid):
            return pid
    raise ProcessLookupError(f"no launcher among the processes of pod {uid} on this machine")


def engine(uid: str) -> int:
    """The main process of a pod's engine, the launcher's child. Raises ProcessLookupError when there is none."""
    parent = launcher(uid)
    for pid in of_pod(uid):
        if _status(pid, "PPid") == str(parent):
            return pid
    raise ProcessLookupError(f"the launcher of pod {uid} (process {parent}) has no engine")


def rank(uid: str) -> int:
    """A rank's own process in a pod of vLLM, which names it so. Raises ProcessLookupError when there is none."""
    for pid in of_pod(uid):
        if command_line(pid).startswith("VLLM::Worker"):
            return pid
    names = ", ".join(filter(None, (command_line(pid)[:40].strip() for pid in of_pod(uid))))
    raise ProcessLookupError(f"no rank's process in pod {uid}, only: {names}")


def _number_inside(pid: int) -> int:
    """The process id in the innermost PID namespace; 0 when the process is gone."""
    return int((_status(pid, "NSpid") or "0").split()[-1])


def _status(pid: int, field: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")), "")


def kill_operator(kube: Api) -> int:
    """SIGKILL to the operator's own process in its pod; gives its restart count before."""
    pods = kube.items(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/component%3Doperator")
    if not pods:
        raise ProcessLookupError(f"no operator pod in {NAMESPACE}")
    killed = 0
    for pod in pods:
        for pid in of_pod(pod["metadata"]["uid"]):
            if "trireme_operator" in command_line(pid) or "trireme-operator" in command_line(pid):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    if not killed:
        raise ProcessLookupError("the operator's process was not found in its pod's cgroup")
    return sum(s["restartCount"] for pod in pods for s in pod["status"].get("containerStatuses", []))
