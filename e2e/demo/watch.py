"""The live table of the demo: zone, group, pod, stage, until the resource is Ready."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from rich.live import Live
from rich.table import Table

from e2e.api import Api, ApiError, Obj
from e2e.progress import console

RESOURCES = "/apis/trireme.dev/v1alpha1"
GROUP_LABEL = "leaderworkerset.sigs.k8s.io/group-index"
LAUNCHER_PORT = 8001

_INTERVAL_SECONDS = 3.0


@dataclass(frozen=True, order=True)
class PodRow:
    """One line of the table; ``ready`` is the pod's own condition, ``stage`` what its launcher says."""

    zone: str
    group: str
    pod: str
    stage: str
    ready: bool


def until_ready(api: Api, namespace: str, name: str, *, timeout_seconds: float = 600) -> Obj:
    """Show the table until ``Ready`` is True; gives the resource. Raises TimeoutError with its conditions."""
    started = time.monotonic()
    seen: list[PodRow] = []
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            resource = api.get(f"{RESOURCES}/namespaces/{namespace}/inferenceclusters/{name}")
            rows = pod_rows(api, namespace, name)
            elapsed = time.monotonic() - started
            if console.is_terminal:
                live.update(pod_table(rows, title=f"{name}: {elapsed:.0f} s"), refresh=True)
            elif rows != seen:
                console.print(pod_table(rows, title=f"{name}: {elapsed:.0f} s"))
            seen = rows
            if condition(resource, "Ready").get("status") == "True":
                break
            if elapsed > timeout_seconds:
                raise TimeoutError(f"{name} is not ready after {elapsed:.0f} s: {conditions_text(resource)}")
            time.sleep(_INTERVAL_SECONDS)
    if console.is_terminal:  # in a log the last table stands already
        console.print(pod_table(seen, title=f"{name}: ready"))
    console.print(f"{name} is ready after {time.monotonic() - started:.0f} s.")
    return resource


def pod_rows(api: Api, namespace: str, name: str) -> list[PodRow]:
    """A row for each pod of the resource, in order of zone, group and pod."""
    pods = api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=trireme.dev/cluster%3D{name}")
    return sorted(_row(api, pod) for pod in pods)


def _row(api: Api, pod: Obj) -> PodRow:
    meta = pod["metadata"]
    labels = meta.get("labels", {})
    conditions = {c["type"]: c for c in pod.get("status", {}).get("conditions", [])}
    return PodRow(
        zone=labels.get("trireme.dev/zone", "-"),
        group=labels.get(GROUP_LABEL, "-"),
        pod=meta["name"],
        stage=_stage(api, pod),
        ready=conditions.get("Ready", {}).get("status") == "True",
    )


def _stage(api: Api, pod: Obj) -> str:
    waiting = _waiting_reason(pod)
    if waiting:
        return waiting
    try:
        answer = api.pod_text(pod["metadata"]["namespace"], pod["metadata"]["name"], LAUNCHER_PORT, "/statusz")
    except (ApiError, OSError):
        return str(pod.get("status", {}).get("phase", "Pending"))
    return str(json.loads(answer)["stage"])


def _waiting_reason(pod: Obj) -> str:
    status = pod.get("status", {})
    for container in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
        reason = container.get("state", {}).get("waiting", {}).get("reason", "")
        if reason and reason not in {"PodInitializing", "ContainerCreating"}:
            return str(reason)
    scheduled: Obj = next((c for c in status.get("conditions", []) if c["type"] == "PodScheduled"), {})
    return str(scheduled.get("reason", "")) if scheduled.get("status") == "False" else ""


def pod_table(rows: list[PodRow], *, title: str) -> Table:
    table = Table("zone", "group", "pod", "stage", "ready", title=title, title_justify="left")
    for row in rows:
        table.add_row(row.zone, row.group, row.pod, row.stage, "[green]yes[/]" if row.ready else "no")
    return table


def condition(resource: Obj, kind: str) -> Obj:
    """The condition of that type, or an empty dict."""
    conditions = resource.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def conditions_text(resource: Obj) -> str:
    conditions = resource.get("status", {}).get("conditions", [])
    return (
        "; ".join(f"{c['type']}={c['status']} ({c['reason']}: {c['message']})" for c in conditions) or "no conditions"
    )
