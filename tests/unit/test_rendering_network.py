"""``spec.network``: how it reaches the pods, and what can't stand beside it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rule_cases_network import GOOD
from tests.unit.resources import cluster, raw
from trireme_operator import rendering
from trireme_operator.api import InvalidResource
from trireme_operator.planning import plan, revision_name, template_inputs
from trireme_operator.planning.rollback import restored_spec

Obj = dict[str, Any]
TWO_PODS: Obj = {"parallelism": {"pipeline": 2}}
ALL = GOOD[-1]["network"] | {"interface": "eth0,net1"}


def pod(**spec: Any) -> Obj:
    resource = cluster(**spec)
    template = rendering.render_template(resource, plan(resource), rendering.Settings("runtime:1"))
    found: Obj = template["workerTemplate"]["spec"]
    return found


def engine(**spec: Any) -> Obj:
    (container,) = pod(**spec)["containers"]
    return dict(container)


def variables(**spec: Any) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in engine(**spec)["env"]}


def nccls(**spec: Any) -> dict[str, str]:
    return {name: value for name, value in variables(**spec).items() if name.startswith(("NCCL", "GLOO"))}


def test_each_field_is_its_variable() -> None:
    assert nccls(**TWO_PODS, network=ALL) == {
        "NCCL_SOCKET_IFNAME": "=eth0,net1",
        "GLOO_SOCKET_IFNAME": "eth0,net1",
        "NCCL_IB_HCA": "=mlx5_0,mlx5_1:1",
        "NCCL_IB_GID_INDEX": "3",
        "NCCL_IB_TC": "106",
        "NCCL_TOPO_FILE": "/mnt/topology/ndv5.xml",
    }


def test_devices_are_asked_for_beside_the_accelerators() -> None:
    want = {"nvidia.com/gpu": "1", "vpc.amazonaws.com/efa": "1"}
    assert engine(**TWO_PODS, network=ALL)["resources"] == {"requests": want, "limits": want}
    many = {"rdmaResource": "rdma/ib", "rdmaPerPod": 8}
    assert engine(**TWO_PODS, network=many)["resources"]["limits"]["rdma/ib"] == "8"


def test_the_topology_is_mounted_alone_and_read_only() -> None:
    spec = pod(**TWO_PODS, network={"topology": {"configMap": "nodes"}})
    item = {"key": "topology.xml", "path": "topology.xml"}
    assert {"name": "trireme-topology", "configMap": {"name": "nodes", "items": [item]}} in spec["volumes"]
    mount = {"name": "trireme-topology", "mountPath": "/mnt/topology", "readOnly": True}
    assert mount in spec["containers"][0]["volumeMounts"]


@pytest.mark.parametrize("network", [{}, {"interface": "", "rdmaResource": "", "rdmaDevices": []}], ids=str)
def test_a_network_that_says_nothing_changes_nothing(network: Obj) -> None:
    assert pod(**TWO_PODS, network=network) == pod(**TWO_PODS)
    assert template_inputs(cluster(**TWO_PODS, network=network)) == template_inputs(cluster(**TWO_PODS))


@pytest.mark.parametrize("field", sorted(ALL))
def test_each_field_is_a_new_revision(field: str) -> None:
    rest = {name: value for name, value in ALL.items() if name != field}
    assert revision_name(cluster(**TWO_PODS, network=rest)) != revision_name(cluster(**TWO_PODS, network=ALL))


def test_defaults_and_what_they_mean_are_the_same_revision() -> None:
    short = {"rdmaResource": "rdma/ib", "topology": {"configMap": "nodes"}}
    long = {"rdmaResource": "rdma/ib", "rdmaPerPod": 1, "topology": {"configMap": "nodes", "key": "topology.xml"}}
    assert revision_name(cluster(**TWO_PODS, network=short)) == revision_name(cluster(**TWO_PODS, network=long))


@pytest.mark.parametrize("refused", [False, True], ids=["good", "refused"])
@pytest.mark.parametrize(("before", "after"), [(ALL, None), (None, ALL), ({"rdmaResource": "rdma/ib"}, ALL)], ids=str)
def test_the_way_back_restores_it(before: Obj | None, after: Obj | None, *, refused: bool) -> None:
    old, new = (TWO_PODS | ({"network": each} if each else {}) for each in (before, after))
    inputs, now = template_inputs(cluster(**old)), template_inputs(cluster(**new))
    spec = restored_spec(raw(**new)["spec"], inputs, name="llama", now=None if refused else now)
    assert template_inputs(cluster(**spec)) == inputs


def engine_with(**container: Any) -> Obj:
    return {"spec": {"containers": [{"name": "engine", **container}]}}


def test_a_variable_of_the_users_alone_is_theirs() -> None:
    own = engine_with(env=[{"name": "NCCL_SOCKET_IFNAME", "value": "^docker"}, {"name": "NCCL_DEBUG", "value": "INFO"}])
    network = {"rdmaDevices": ["mlx5_0"]}
    found = nccls(**TWO_PODS, network=network, podTemplate=own)
    assert found == {"NCCL_IB_HCA": "=mlx5_0", "NCCL_SOCKET_IFNAME": "^docker", "NCCL_DEBUG": "INFO"}


@pytest.mark.parametrize(
    ("container", "path", "field"),
    [
        *(
            ({"env": [{"name": name, "value": "x"}]}, "env[0].name", field)
            for name, field in (
                ("NCCL_SOCKET_IFNAME", "spec.network.interface"),
                ("GLOO_SOCKET_IFNAME", "spec.network.interface"),
                ("NCCL_IB_HCA", "spec.network.rdmaDevices"),
                ("NCCL_IB_GID_INDEX", "spec.network.rdmaGidIndex"),
                ("NCCL_IB_TC", "spec.network.rdmaTrafficClass"),
                ("NCCL_TOPO_FILE", "spec.network.topology"),
            )
        ),
        (
            {"resources": {"limits": {"vpc.amazonaws.com/efa": 2}}},
            "resources.limits[vpc.amazonaws.com/efa]",
            "spec.network.rdmaResource",
        ),
        (
            {"volumeMounts": [{"name": "x", "mountPath": "/mnt/topology/"}]},
            "volumeMounts[0].mountPath",
            "spec.network.topology",
        ),
    ],
    ids=str,
)
def test_the_same_thing_said_twice_is_refused_with_both_places(container: Obj, path: str, field: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        cluster(**TWO_PODS, network=ALL, podTemplate=engine_with(**container))
    (violation,) = refused.value.violations
    assert violation.path == f"spec.podTemplate.spec.containers[0].{path}"
    assert field in violation.message
    cluster(**TWO_PODS, podTemplate=engine_with(**container))


@pytest.mark.parametrize(
    "context", [{"capabilities": {"add": ["IPC_LOCK"]}}, {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}}]
)
def test_a_capability_is_refused_by_its_name(context: Obj) -> None:
    with pytest.raises(InvalidResource, match=r"IPC_LOCK.*Pod Security restricted"):
        cluster(network=ALL, podTemplate=engine_with(securityContext=context))
