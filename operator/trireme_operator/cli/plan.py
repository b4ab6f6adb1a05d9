"""``trireme plan``: what a resource comes to, before anything is made."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from trireme_operator.api import InferenceCluster
from trireme_operator.api.autoscaling import MetricsSource
from trireme_operator.api.quantity import PATTERN
from trireme_operator.api.resource import CPU
from trireme_operator.cli import plan_scaling, plan_settings
from trireme_operator.cli.model import ModelConfigOption, fits, memory_data, memory_table, read_model_config
from trireme_operator.cli.output import Format, fail, out, valid, write
from trireme_operator.planning import (
    ClusterPlan,
    PodRanks,
    Regime,
    ZonePlan,
    pickers,
    pod_ranks,
    revision_name,
    source_of_metrics,
)
from trireme_operator.planning import plan as plan_of


def plan(
    files: Annotated[list[str], typer.Argument(help="Files of YAML or JSON; - is standard input.", metavar="FILE...")],
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="The namespace; by default what the file says.")
    ] = None,
    model_config: ModelConfigOption = None,
    accelerator_memory: Annotated[
        str | None,
        typer.Option(metavar="QUANTITY", help="Memory of one device, such as 80Gi, in place of accelerator.memory."),
    ] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="How the plan is written.")] = Format.TABLE,
) -> None:
    """Show groups, ranks, devices, engine settings, zones, names of objects, and an estimate of each rank's memory.

    Exit codes: 0 done, 1 a resource is invalid, 2 a file can't be read or holds no resource.
    """
    config = read_model_config(model_config)
    clusters = [_with_memory(cluster, accelerator_memory) for cluster in valid(files, namespace=namespace)]
    plans = [(cluster, plan_of(cluster), fit) for cluster, fit in zip(clusters, fits(clusters, config), strict=True)]
    if output is Format.TABLE:
        for cluster, planned, fit in plans:
            _table(out(), cluster, planned)
            memory_table(out(), fit, devices=cluster.spec.accelerator.resource != CPU)
    else:
        write([data(cluster, planned) | {"memory": memory_data(fit)} for cluster, planned, fit in plans], output)


def _with_memory(cluster: InferenceCluster, memory: str | None) -> InferenceCluster:
    """The resource as if it told this memory of a device."""
    if memory is None:
        return cluster
    if re.fullmatch(PATTERN, memory) is None:
        fail(f"--accelerator-memory {memory} is no quantity: write bytes, or a number with a unit, such as 80Gi")
    accelerator = cluster.spec.accelerator
    if accelerator.resource == CPU:
        fail("--accelerator-memory is the memory of a device, and ranks with accelerator.resource cpu have none")
    spec = cluster.spec.model_copy(update={"accelerator": accelerator.model_copy(update={"memory": memory})})
    return cluster.model_copy(update={"spec": spec})


def data(cluster: InferenceCluster, planned: ClusterPlan) -> dict[str, Any]:
    """The plan for other programs. Devices are counted in ranks: none where ranks run without one."""
    shape, resource = planned.geometry, cluster.spec.accelerator.resource
    each = 0 if resource == CPU else shape.world_size
    groups = sum(zone.replicas for zone in planned.zones)
    most = sum(_most(zone) for zone in planned.zones)
    return {
        "name": planned.name,
        "namespace": planned.namespace,
        "group": {
            "pods": shape.pods,
            "ranksPerPod": shape.ranks_per_pod,
            "tensor": shape.tensor,
            "pipeline": shape.pipeline,
            "data": shape.data,
            "expert": shape.expert,
            "loadBalancing": shape.balancing.value if shape.balancing else None,
            "worldSize": shape.world_size,
        },
        "pods": [_pod(pod) for pod in pod_ranks(shape)],
        "accelerator": {"resource": resource, "perGroup": each, "total": each * groups, "most": each * most},
        "engine": plan_settings.data(cluster),
        "autoscaling": plan_scaling.data(cluster, planned),
        "groups": groups,
        "zones": [_zone(planned, zone) for zone in planned.zones],
        "endpointPickers": _pickers(cluster, planned),
        "objects": _objects(cluster, planned),
    }


def _pod(pod: PodRanks) -> dict[str, Any]:
    ranks = [
        {"rank": rank.number, "data": rank.data, "pipeline": rank.pipeline, "tensor": rank.tensor} for rank in pod.ranks
    ]
    role = "leader" if pod.leader else "worker"
    return {"nodeRank": pod.node_rank, "role": role, "servesHTTP": pod.serves, "ranks": ranks}


def _zone(planned: ClusterPlan, zone: ZonePlan) -> dict[str, Any]:
    total = sum(_effective(each) for each in planned.zones)
    permille = _effective(zone) * 1000 // total if total else 0
    return {
        "name": zone.name,
        "groups": zone.replicas,
        "groupsFrom": _least(zone),
        "groupsTo": _most(zone),
        "weight": _effective(zone),
        "sharePermille": permille,
        "leaderWorkerSet": zone.lws_name,
        "service": zone.service_name,
    }


def _least(zone: ZonePlan) -> int:
    return zone.replicas if zone.min_replicas is None else zone.min_replicas


def _most(zone: ZonePlan) -> int:
    return zone.replicas if zone.max_replicas is None else zone.max_replicas


def _range(zone: dict[str, Any]) -> str:
    """The groups that a zone starts with, and between which numbers an autoscaler moves them."""
    scaled = zone["groupsFrom"] != zone["groupsTo"]
    return f"{zone['groups']} ({zone['groupsFrom']} to {zone['groupsTo']})" if scaled else str(zone["groups"])


def _effective(zone: ZonePlan) -> int:
    """The weight when every group is ready: a zone without groups gets none."""
    return zone.weight if zone.replicas else 0


def _objects(cluster: InferenceCluster, planned: ClusterPlan) -> dict[str, list[str]]:
    services = [zone.service_name for zone in planned.zones] if planned.zoned else []
    objects = {
        "ServiceAccount": [planned.service_account_name],
        "ControllerRevision": [revision_name(cluster)],
        "LeaderWorkerSet": [zone.lws_name for zone in planned.zones if zone.regime is not Regime.HELD],
        _autoscaler_kind(cluster): [zone.lws_name for zone in planned.zones if zone.regime is Regime.AUTOSCALED],
        "Service": [*services, planned.service_name],
        "InferencePool": list(planned.pools.values()) if pickers(cluster, planned.pools) else [],
        "HTTPRoute": [planned.route_name] if cluster.spec.gateway is not None else [],
    }
    return {kind: found for kind, found in objects.items() if found}


def _pickers(cluster: InferenceCluster, planned: ClusterPlan) -> list[dict[str, Any]]:
    """Who is to choose among the groups of each InferencePool."""
    return [
        {"inferencePool": planned.pools[zone], "service": picker.service, "port": picker.port}
        for zone, picker in pickers(cluster, planned.pools).items()
    ]


def _autoscaler_kind(cluster: InferenceCluster) -> str:
    scaling = cluster.spec.autoscaling
    by_keda = scaling is not None and source_of_metrics(scaling) is MetricsSource.KEDA
    return "ScaledObject" if by_keda else "HorizontalPodAutoscaler"


def _table(console: Console, cluster: InferenceCluster, planned: ClusterPlan) -> None:
    shown = data(cluster, planned)
    group, devices = shown["group"], shown["accelerator"]
    console.print(f"{planned.namespace}/{planned.name}", style="bold", markup=False)
    console.print(f"a group: {_shape(group)} in {group['pods']} pods of {group['ranksPerPod']}")
    counted = f"{devices['total']} {devices['resource']}" if devices["perGroup"] else "none, ranks run on the processor"
    console.print(f"devices of {shown['groups']} groups: {counted}")
    if devices["most"] > devices["total"]:
        console.print(f"devices of all groups that the autoscalers may ask for: {devices['most']}")
    for line in plan_scaling.lines(shown["autoscaling"]):
        console.print(line, markup=False)
    console.print(_pods(shown["pods"], ("data", "pipeline", "tensor") if group["data"] > 1 else ("pipeline", "tensor")))
    console.print(plan_settings.table(shown["engine"]))
    zones = Table(
        "zone", "groups", "weight", "share", "LeaderWorkerSet", "Service", title="zones", title_justify="left"
    )
    for zone in shown["zones"]:
        share = f"{zone['sharePermille'] // 10}.{zone['sharePermille'] % 10} %"
        cells = (zone["name"] or "any", _range(zone), str(zone["weight"]), share)
        zones.add_row(*cells, zone["leaderWorkerSet"], zone["service"])
    console.print(zones)
    for picker in shown["endpointPickers"]:
        where = f"{picker['service']}.{planned.namespace}.svc:{picker['port']}"
        console.print(f"endpoint picker of InferencePool {picker['inferencePool']}: {where}", markup=False)
    objects = Table("kind", "names", title="objects", title_justify="left")
    for kind, names in shown["objects"].items():
        objects.add_row(kind, ", ".join(names))
    console.print(objects)


def _shape(group: dict[str, Any]) -> str:
    data = f" x data {group['data']}" if group["data"] > 1 else ""
    notes = [f"{group['loadBalancing']} load balancing"] if group["loadBalancing"] else []
    notes += ["expert parallel"] if group["expert"] else []
    said = f", {', '.join(notes)}" if notes else ""
    return f"{group['worldSize']} ranks (tensor {group['tensor']} x pipeline {group['pipeline']}{data}){said}"


def _pods(pods: list[dict[str, Any]], coordinates: tuple[str, ...]) -> Table:
    heading = f"ranks as rank ({', '.join(coordinates)})"
    table = Table("node rank", "role", "serves HTTP", heading, title="pods of a group", title_justify="left")
    for pod in pods:
        listed = (f"{rank['rank']} ({', '.join(str(rank[name]) for name in coordinates)})" for rank in pod["ranks"])
        serves = "yes" if pod["servesHTTP"] else "no"
        table.add_row(str(pod["nodeRank"]), pod["role"], serves, "  ".join(listed))
    return table
