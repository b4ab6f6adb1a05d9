"""The operator's side of docs/contract.md: what it renders is what that page says, and the launcher takes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pod_environment import POD
from tests.unit.resources import cluster, zones
from trireme_operator import rendering
from trireme_operator.planning import HEALTH_DEFAULTS, health_settings, plan
from trireme_runtime import environment

PAGE = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
FIELDS = {
    "metadata.name": "llama-zone-a-0-1",
    "metadata.namespace": "genai",
    "metadata.uid": "f00d",
    "status.podIP": "10.0.0.7",
    "spec.nodeName": "gpu-7",
}

Obj = dict[str, Any]


NOT_IN_EVERY_POD = {
    "TRIREME_DATA_PARALLEL_SIZE",
    "TRIREME_DATA_PARALLEL_BALANCING",
    "TRIREME_DATA_PARALLEL_PORT",
    "TRIREME_EXPERT_PARALLEL",
    "NCCL_SOCKET_IFNAME",
    "GLOO_SOCKET_IFNAME",
    "NCCL_IB_HCA",
    "NCCL_IB_GID_INDEX",
    "NCCL_IB_TC",
    "NCCL_TOPO_FILE",
    "TRIREME_PREFLIGHT",
    "TRIREME_PREFLIGHT_TIMEOUT_SECONDS",
    "TRIREME_PREFLIGHT_MIN_BANDWIDTH",
    "TRIREME_PREFLIGHT_SHARED_MEMORY",
    "TRIREME_PREFLIGHT_ACCELERATOR",
    "TRIREME_NODE_NAME",
    "TRIREME_PERMIT_URL",
    "TRIREME_MEMBER_SILENT_SECONDS",
    "TRIREME_MEMBER_LOST_SECONDS",
    "TRIREME_STALL_SECONDS",
    "TRIREME_CANARY_TOKENS",
}
"""Set where they say something, so that templates that were stored before them stay as they are."""


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}")[1].split("\n## ")[0]


def variables_of_the_page() -> set[str]:
    rows = [line.split("|") for line in section("Environment").splitlines() if line.startswith("| `")]
    return {name for row in rows if "operator" in row[2] for name in re.findall(r"`([A-Z_]+)`", row[1])}


def pods(settings: rendering.Settings | None = None, **spec: Any) -> tuple[Obj, Obj]:
    """The leader's and the worker's template of the first zone, as they reach LeaderWorkerSet."""
    resource = cluster(**spec)
    planned = plan(resource)
    template = rendering.render_template(resource, planned, settings or rendering.Settings("launcher:1"))
    zone = planned.zones[0]
    group_set = rendering.leader_worker_set(resource, planned, zone, revision_name="r", template=template)
    placed = group_set["spec"]["leaderWorkerTemplate"]
    return placed["leaderTemplate"], placed["workerTemplate"]


def engine(pod: Obj) -> Obj:
    (container,) = [item for item in pod["spec"]["containers"] if item["name"] == "engine"]
    return dict(container)


def variables(pod: Obj) -> dict[str, str]:
    """The container's environment as the kubelet would set it."""
    result = {}
    for variable in engine(pod)["env"]:
        source = variable.get("valueFrom")
        field = source["fieldRef"]["fieldPath"] if source else None
        result[variable["name"]] = FIELDS[field] if field else variable.get("value", "")
    return result


ZONED: Obj = {"zones": zones("zone-a"), "parallelism": {"tensor": 2, "pipeline": 2}}
INSTALLED = rendering.Settings("launcher:1", permit_url="http://trireme-permit.trireme-system.svc:8081")
PREFLIGHT: Obj = {"preflight": {"mode": "Enforce", "minBandwidthGBps": 20}}
HEALTH: Obj = {
    "memberSilentSeconds": 5,
    "memberLostSeconds": 90,
    "stallSeconds": 300,
    "canary": {"mode": "Disabled"},
}
REPLICAS: Obj = {
    "parallelism": {"tensor": 2, "data": 2, "expert": True, "loadBalancing": "External"},
    "health": HEALTH,
}


NETWORK = {
    "interface": "eth0",
    "rdmaDevices": ["mlx5_0"],
    "rdmaGidIndex": 3,
    "rdmaTrafficClass": 106,
    "topology": {"configMap": "nodes"},
}


def test_every_variable_of_the_page_is_set_and_no_other_of_ours() -> None:
    for pod in pods(INSTALLED, **REPLICAS, **PREFLIGHT, network=NETWORK):
        names = set(variables(pod))
        assert variables_of_the_page() <= names
        assert {name for name in names if name.startswith("TRIREME_")} <= variables_of_the_page()
    for pod in pods(**ZONED):
        assert variables_of_the_page() - set(variables(pod)) == NOT_IN_EVERY_POD


def test_the_launcher_takes_the_environment_of_replicas() -> None:
    lws = {"LWS_LEADER_ADDRESS": "l-0.l", "LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": "1"}
    read = environment.parse({**variables(pods(**REPLICAS)[1]), **lws})
    assert (read.data_parallel_size, read.balancing.value, read.data_parallel_port) == (2, "External", 29550)
    assert (read.expert_parallel, read.serves, read.is_leader) == (True, True, False)


def test_the_launcher_takes_the_environment_of_a_preflight() -> None:
    lws = {"LWS_LEADER_ADDRESS": "l-0.l", "LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": "1"}
    read = environment.parse({**variables(pods(**ZONED, **PREFLIGHT)[1]), **lws})
    assert read.preflight == environment.Preflight(
        enforced=True, timeout_seconds=120, min_bandwidth=20, shared_memory=8 << 30, accelerator="nvidia.com/gpu"
    )
    assert read.node_name == "gpu-7"
    assert environment.parse({**variables(pods(**ZONED, preflight={"mode": "Off"})[1]), **lws}).preflight is None


def test_the_launcher_takes_the_limits_of_health() -> None:
    lws = {"LWS_LEADER_ADDRESS": "l-0.l", "LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": "1"}
    read = environment.parse({**variables(pods(**REPLICAS)[1]), **lws})
    assert (read.member_silent_seconds, read.member_lost_seconds) == (5, 90)
    assert (read.stall_seconds, read.canary_tokens) == (300, 0)


def test_the_defaults_of_health_are_the_launchers() -> None:
    assert {
        "memberSilentSeconds": POD.member_silent_seconds,
        "memberLostSeconds": POD.member_lost_seconds,
        "stallSeconds": POD.stall_seconds,
        "canaryTokens": POD.canary_tokens,
    } == HEALTH_DEFAULTS
    assert health_settings(cluster(health={"stallSeconds": 60, "memberLostSeconds": 31})) == {"memberLostSeconds": 31}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("spec", [ZONED, {"parallelism": {"tensor": 2, "pipeline": 2}}], ids=["a zone", "no zones"])
def test_the_launcher_takes_the_environment(spec: Obj, index: int) -> None:
    lws = {"LWS_LEADER_ADDRESS": "l-0.l", "LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": str(index)}
    read = environment.parse({**variables(pods(**spec)[index]), **lws})
    assert (read.cluster, read.zone) == ("llama", "zone-a" if "zones" in spec else "")
    assert (read.tensor_parallel_size, read.pipeline_parallel_size, read.ranks_per_pod) == (2, 2, 2)
    assert (read.engine_port, read.launcher_port, read.master_port) == (8000, 8001, 29501)
    assert read.pod_name == "llama-zone-a-0-1"


def test_the_launcher_is_process_1_and_its_arguments_are_the_engines_command() -> None:
    for pod in pods():
        assert engine(pod)["command"] == ["python3", "/trireme/runtime.pyz"]
        assert engine(pod)["args"][:3] == ["vllm", "serve", "meta-llama/Llama-3.1-8B-Instruct"]


def test_files_are_where_the_page_has_them() -> None:
    paths = set(re.findall(r"^\| `(/[^`]+)`", section("Files"), flags=re.MULTILINE))
    for pod in pods():
        (launcher,) = pod["spec"]["initContainers"]
        shipped, injected = launcher["command"][1:]
        mounts = {mount["mountPath"] for mount in engine(pod)["volumeMounts"]}
        assert {shipped, injected} <= paths
        inside = {path for path in paths for mount in mounts if path.startswith(f"{mount}/")}
        assert paths - inside - {shipped, "/dev/termination-log"} == mounts - {"/trireme"}


def test_the_grace_period_is_the_one_the_launcher_is_told() -> None:
    for pod in pods():
        assert str(pod["spec"]["terminationGracePeriodSeconds"]) == variables(pod)["TRIREME_GRACE_SECONDS"]


def test_probes_ask_the_launcher() -> None:
    for pod in pods():
        container = engine(pod)
        ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        assert ports["launcher"] == variables(pod)["TRIREME_LAUNCHER_PORT"]
        assert ports["http"] == variables(pod)["TRIREME_ENGINE_PORT"]
        for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
            assert container[probe]["httpGet"] == {"path": path, "port": "launcher"}
            assert path in PAGE


def test_labels_are_those_of_the_page() -> None:
    page = set(re.findall(r"`(trireme\.dev/[a-z]+)`", section("Labels and annotations of pods")))
    leader, worker = pods(**ZONED)
    assert page <= set(leader["metadata"]["labels"])
    assert (leader["metadata"]["labels"]["trireme.dev/role"], worker["metadata"]["labels"]["trireme.dev/role"]) == (
        "leader",
        "worker",
    )
    assert leader["metadata"]["labels"]["trireme.dev/rotation"] == "in"
    assert "trireme.dev/rotation" not in worker["metadata"]["labels"]
    assert all(pod["metadata"]["labels"]["trireme.dev/rotation"] == "in" for pod in pods(**REPLICAS))
    assert "trireme.dev/zone" not in pods()[0]["metadata"]["labels"]
