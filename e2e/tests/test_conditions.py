"""What only the cluster can tell becomes a condition with the way out, and heals when its cause goes."""

from __future__ import annotations

import pytest

from e2e import resources
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.demo.watch import condition
from e2e.host import CommandError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


# Nobody listens on port 1 of a node, so the pull is refused at once.
NO_IMAGE = "127.0.0.1:1/none:0"
NO_SECRET = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "token"}}}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, module_namespace: str) -> str:
    """One for all, with what is wrong in it from the beginning: each cause shows while others are looked at."""
    overlay = {"spec": {"containers": [{"name": "engine", "env": [NO_SECRET]}]}}
    resources.apply(
        cluster,
        module_namespace,
        resources.double("image", zones=("zone-a",), engine={"image": NO_IMAGE}),
        resources.double("nowhere", zones=("zone-a", "zone-x")),
        resources.double("secret", zones=("zone-a",), podTemplate=overlay),
    )
    return module_namespace


def test_an_image_that_is_not_there_is_named_and_a_right_one_heals(cluster: Cluster, kube: Api, namespace: str) -> None:
    _says(kube, namespace, "image", NO_IMAGE)
    resources.apply(cluster, namespace, resources.double("image", zones=("zone-a",)))
    resources.wait_for(kube, namespace, "image", "Ready")


def test_a_zone_without_nodes_is_named_while_the_other_zone_serves(cluster: Cluster, kube: Api, namespace: str) -> None:
    _says(kube, namespace, "nowhere", "zone-x")
    available = resources.wait_for(kube, namespace, "nowhere", "Available")
    assert condition(available, "Ready")["status"] == "False"
    resources.apply(cluster, namespace, resources.double("nowhere", zones=("zone-a", "zone-b")))
    resources.wait_for(kube, namespace, "nowhere", "Ready")


def test_a_missing_secret_is_named_and_its_creation_heals(cluster: Cluster, kube: Api, namespace: str) -> None:
    _says(kube, namespace, "secret", "hf-token")
    cluster.kubectl("create", "secret", "generic", "hf-token", "--from-literal=token=x", "--namespace", namespace)
    resources.wait_for(kube, namespace, "secret", "Ready")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param(
            {"parallelism": {"pipeline": 3}, "accelerator": {"resource": "cpu", "perPod": 2}},
            r"accelerator\.perPod",
            id="three ranks in pods of two",
        ),
        pytest.param(
            {"engine": {"extraArgs": ["--tensor_parallel_size=2"]}}, "extraArgs", id="a flag that Trireme owns"
        ),
        pytest.param({"modle": {}}, "modle", id="a field that does not exist"),
    ],
)
def test_a_spec_that_breaks_a_rule_is_refused_with_the_field(
    cluster: Cluster, namespace: str, spec: Obj, field: str
) -> None:
    with pytest.raises(CommandError, match=field):
        resources.apply(cluster, namespace, resources.double("bad", **spec))


def _says(kube: Api, namespace: str, name: str, word: str) -> None:
    """Wait until a condition that is False names ``word``."""

    def named() -> bool:
        found = kube.get(resources.path(namespace, name)).get("status", {}).get("conditions", [])
        return any(word in c["message"] and c["status"] == "False" for c in found)

    wait_until(named, timeout_seconds=60, what=f"a condition of {name} that names {word}")
