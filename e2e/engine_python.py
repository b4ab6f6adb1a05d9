"""``python -m e2e.engine_python FILE [ARGUMENT...]``: a Python file in a pod of the real engine's image.

Its output is read from the pod's log when it has ended: what is attached to a pod may lose a piece of a long line on a
busy machine (seen once with ``kubectl run --stdin``).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from e2e import api
from e2e.api import Obj
from e2e.cluster import choose

_IMAGE = "trireme.dev/engine-cpu:dev"
_NAMESPACE = "/api/v1/namespaces/default"
_ZONE = "zone-a"
"""One of those whose nodes are given the engine's image."""
_MARK = "---- standard error of the program:"
_RUN = f"""/opt/vllm/bin/python /program/main.py "$@" 2>/tmp/errors
code=$?
printf '\\n%s\\n' '{_MARK}'
cat /tmp/errors
exit $code"""
_REQUESTS = {"cpu": "100m"}
"""As pods of an engine have. Without a request it would be the one pod of the best effort, which gets less than a
hundredth of the processors while other pods compute (their cpu.shares are 2 and 102 for each 100m): a program of 7
seconds took 251. With far more, the pods beside it stand, whose requests are 50m.
"""
_ANYWAY = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}
"""A test beside this program may have cordoned the node."""
_POLL_SECONDS = 0.5
_START_SECONDS = 180.0
_LOG_SECONDS = 90.0


def run(kube: api.Api, file: Path, arguments: list[str]) -> tuple[int, str, str]:
    """The program's exit code, output and standard error; nothing of it stays on the cluster.

    Raises:
        ApiError: the API server refuses it, for example while the cluster goes down.
        TimeoutError: the pod does not start, or its log can't be read.

    """
    name = f"engine-python-{os.getpid()}"
    program = {"metadata": {"name": name}, "data": {"main.py": file.read_text()}}
    try:
        kube.text("POST", f"{_NAMESPACE}/configmaps", body=program)
        kube.text("POST", f"{_NAMESPACE}/pods", body=_pod(name, arguments))
        ended = _wait(kube, f"{_NAMESPACE}/pods/{name}")
        output, _, errors = _log(kube, f"{_NAMESPACE}/pods/{name}").partition(f"\n{_MARK}\n")
    finally:
        for path in (f"{_NAMESPACE}/pods/{name}?gracePeriodSeconds=0", f"{_NAMESPACE}/configmaps/{name}"):
            if kube.find(path.partition("?")[0]) is not None:
                kube.delete(path)
    return int(ended["exitCode"]), output, errors


def _wait(kube: api.Api, path: str) -> Obj:
    """What became of the pod's container. The time a program may take is its caller's to limit.

    Raises TimeoutError when it does not start.
    """
    deadline = time.monotonic() + _START_SECONDS
    while True:
        status = kube.get(path).get("status", {})
        states = [each["state"] for each in status.get("containerStatuses", [])]
        if states and "terminated" in states[0]:
            return dict(states[0]["terminated"])
        if not (states and "running" in states[0]) and time.monotonic() > deadline:
            seen = states or status.get("conditions")
            raise TimeoutError(
                f"the pod has not started in {_START_SECONDS:.0f} s: {seen}; is {_IMAGE} on a node of {_ZONE}? "
                "python -m e2e.up --engine puts it there"
            )
        time.sleep(_POLL_SECONDS)


def _log(kube: api.Api, path: str) -> str:
    """What the container printed. Its node has it, and may be cut off for a while by a test beside this one.

    Raises TimeoutError when it does not come back.
    """
    # Of a container that was killed at once it is empty, which is an answer too.
    (text,) = api.wait_until(
        lambda: (kube.text("GET", f"{path}/log"),),
        timeout_seconds=_LOG_SECONDS,
        what=f"the log of {path}",
        ignore=(OSError, api.ApiError),
    )
    return text


def _pod(name: str, arguments: list[str]) -> Obj:
    """Ranks talk over /dev/shm, of which a container has 64 MiB by itself: too little for two of them."""
    container = {
        "name": name,
        "image": _IMAGE,
        "imagePullPolicy": "Never",
        "resources": {"requests": _REQUESTS},
        "command": ["/bin/bash", "-c", _RUN, "main.py", *arguments],
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}, {"name": "program", "mountPath": "/program"}],  # noqa: S108
    }
    volumes = [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}},
        {"name": "program", "configMap": {"name": name}},
    ]
    spec = {
        "nodeSelector": {"topology.kubernetes.io/zone": _ZONE},
        "tolerations": [_ANYWAY],
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": volumes,
    }
    return {"metadata": {"name": name}, "spec": spec}


def main() -> int:
    with api.connect(choose()) as kube:
        code, output, errors = run(kube, Path(sys.argv[1]), sys.argv[2:])
    sys.stdout.write(output)
    sys.stderr.write(errors)
    return code


if __name__ == "__main__":
    sys.exit(main())
