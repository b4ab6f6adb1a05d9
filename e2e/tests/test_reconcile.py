"""The operator against the real LeaderWorkerSet, kubelets and garbage collector, with the engine double in the pods."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from e2e import processes, resources
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.resources import Child
from e2e.stack import NAMESPACE as SYSTEM

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

GATEWAY = {"parentRefs": [{"name": "inference"}], "hostnames": ["double.test"]}
ROUTED = ("still", "repair", "edited", "gone")


@dataclass(frozen=True)
class Still:
    """A resource at rest whose manifest was applied a second time."""

    namespace: str
    name: str
    versions: dict[str, str]
    status: Obj
    since: float


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, module_namespace: str) -> str:
    """One for all, with a resource for each test, so that all groups start beside each other."""
    resources.apply(cluster, module_namespace, resources.double("first"), *map(routed, ROUTED))
    return module_namespace


@pytest.fixture(scope="module", autouse=True)
def still(cluster: Cluster, kube: Api, namespace: str) -> Still:
    """Applied twice before the first test, so that the minute of rest passes meanwhile."""
    resources.wait_for(kube, namespace, "still", "Progressing", "False")
    # A zone that was ready some seconds after the other gets its weight in steps, for a minute.
    whole = partial(_has_whole_weights, kube, namespace, "still")
    wait_until(whole, timeout_seconds=120, what="each zone to have its whole weight")
    time.sleep(5)  # LeaderWorkerSet and the gateway write their own status a moment after readiness
    versions, status = _versions(kube, namespace, "still"), _status(kube, namespace, "still")
    resources.apply(cluster, namespace, routed("still"))
    return Still(namespace, "still", versions, status, time.monotonic())


def test_every_child_is_made_and_groups_become_ready(kube: Api, namespace: str) -> None:
    status = resources.wait_for(kube, namespace, "first", "Ready")["status"]
    kinds = [child.kind for child in resources.children(kube, namespace, "first")]
    assert kinds.count("leaderworkersets") == 2
    assert kinds.count("services") == 3
    assert kinds.count("serviceaccounts") == 1
    assert {(z["name"], z["groups"], z["readyGroups"]) for z in status["zones"]} == {("zone-a", 1, 1), ("zone-b", 1, 1)}
    zones = {
        pod["metadata"]["labels"]["trireme.dev/zone"]: pod["spec"]["nodeName"]
        for pod in resources.pods(kube, namespace, "first")
    }
    assert zones == {"zone-a": "node-a", "zone-b": "node-b"}


def test_a_deleted_child_is_back_within_two_seconds(kube: Api, namespace: str) -> None:
    resources.wait_for(kube, namespace, "repair", "Progressing", "False")
    for child in resources.children(kube, namespace, "repair"):
        _repaired_in_time(child, partial(_delete, kube, child))


def test_an_edited_child_is_repaired_within_two_seconds(kube: Api, namespace: str) -> None:
    # Whole first: weights that still follow groups as they get ready are no repair.
    resources.wait_for(kube, namespace, "edited", "Progressing", "False")
    edits: dict[str, Obj] = {
        "services": {"spec": {"selector": {"trireme.dev/rotation": "out"}}},
        "leaderworkersets": {"spec": {"leaderWorkerTemplate": {"restartPolicy": "None"}}},
        "httproutes": {"spec": {"hostnames": ["other.test"]}},
        "serviceaccounts": {"automountServiceAccountToken": True},
    }
    for child in resources.children(kube, namespace, "edited"):
        if child.kind in edits:
            _repaired_in_time(child, partial(_edit, kube, child, edits[child.kind]))


def _repaired_in_time(child: Child, harm: Callable[[], Callable[[], bool]]) -> None:
    """Harm it, three times at most, until it is whole again within two seconds: other tests take the processors, too.

    ``harm`` returns what tells whether it is whole.
    """
    seconds: list[float] = []
    while len(seconds) < 3:
        started = time.monotonic()
        what = f"{child.kind} {child.name} to be whole again"
        wait_until(harm(), timeout_seconds=10, what=what, interval_seconds=0.02)
        seconds.append(time.monotonic() - started)
        if seconds[-1] < 2:
            return
    pytest.fail(f"{child.kind} {child.name} took {', '.join(f'{each:.2f} s' for each in seconds)}")


def _delete(kube: Api, child: Child) -> Callable[[], bool]:
    uid = kube.get(child.path)["metadata"]["uid"]
    kube.delete(child.path)

    def is_new() -> bool:
        found = kube.find(child.path)
        return found is not None and found["metadata"]["uid"] != uid

    return is_new


def _edit(kube: Api, child: Child, edit: Obj) -> Callable[[], bool]:
    want = _essence(kube.get(child.path))
    kube.merge_patch(child.path, edit)
    return lambda: _essence(kube.get(child.path)) == want


def test_an_operator_killed_while_it_creates_converges_after_its_restart(
    cluster: Cluster, kube: Api, namespace: str
) -> None:
    names = [f"crash-{index}" for index in range(6)]
    resources.apply(cluster, namespace, *(resources.double(name, zones=("zone-a",)) for name in names))
    wait_until(
        lambda: any(resources.children(kube, namespace, name) for name in names),
        timeout_seconds=30,
        what="the first child",
        interval_seconds=0.01,
    )
    restarts = processes.kill_operator(kube)
    for name in names:
        resources.wait_for(kube, namespace, name, "Ready", seconds=120)
        assert len([c for c in resources.children(kube, namespace, name) if c.kind == "leaderworkersets"]) == 1
    pods = kube.items(f"/api/v1/namespaces/{SYSTEM}/pods?labelSelector=app.kubernetes.io/component%3Doperator")
    assert sum(s["restartCount"] for pod in pods for s in pod["status"]["containerStatuses"]) > restarts


def test_a_resource_deleted_while_the_operator_is_down_leaves_nothing(kube: Api, namespace: str) -> None:
    resources.wait_for(kube, namespace, "gone", "Available")
    deployment = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/trireme"
    operators = kube.get(deployment)["spec"]["replicas"]
    kube.merge_patch(deployment, {"spec": {"replicas": 0}})
    try:
        wait_until(
            lambda: (
                not kube.items(f"/api/v1/namespaces/{SYSTEM}/pods?labelSelector=app.kubernetes.io/component%3Doperator")
            ),
            timeout_seconds=60,
            what="the operator to be gone",
        )
        kube.delete(resources.path(namespace, "gone"))
        wait_until(
            lambda: kube.find(resources.path(namespace, "gone")) is None,
            timeout_seconds=10,
            what="the resource to be gone (nothing may hold it back)",
        )
        wait_until(
            lambda: not resources.children(kube, namespace, "gone") and not resources.pods(kube, namespace, "gone"),
            timeout_seconds=90,
            what="children and pods to be collected",
        )
    finally:
        kube.merge_patch(deployment, {"spec": {"replicas": operators}})
        wait_until(
            lambda: kube.get(deployment).get("status", {}).get("readyReplicas") == operators,
            timeout_seconds=60,
            what="the operators to be back",
        )
    time.sleep(3)
    assert not resources.children(kube, namespace, "gone")


def test_the_same_manifest_applied_twice_changed_nothing_for_a_minute_whatever_else_happened(
    kube: Api, still: Still
) -> None:
    """Runs last: the tests before it killed the operator and started it again."""
    remaining = still.since + 60 - time.monotonic()
    if remaining > 0:
        time.sleep(remaining)
    now = _versions(kube, still.namespace, still.name)
    told = f"{still.versions}\n{now}\n{still.status}\n{_status(kube, still.namespace, still.name)}"
    assert now == still.versions, told


def routed(name: str) -> Obj:
    return resources.double(name, gateway=GATEWAY | {"hostnames": [f"{name}.test"]})


def _has_whole_weights(kube: Api, namespace: str, name: str) -> bool:
    zones = kube.get(resources.path(namespace, name))["status"]["zones"]
    return {zone.get("weightReason") for zone in zones} == {"Healthy"}


def _versions(kube: Api, namespace: str, name: str) -> dict[str, str]:
    found = {child.path: child.resource_version for child in resources.children(kube, namespace, name)}
    own = kube.get(resources.path(namespace, name))["metadata"]["resourceVersion"]
    return found | {"self": own}


def _status(kube: Api, namespace: str, name: str) -> Obj:
    return dict(kube.get(resources.path(namespace, name))["status"])


def _essence(obj: Obj) -> Obj:
    """What a repair must bring back: the object without what every write changes, and without its status."""
    meta = {k: v for k, v in obj["metadata"].items() if k not in {"resourceVersion", "generation", "managedFields"}}
    return {key: value for key, value in obj.items() if key not in {"metadata", "status"}} | {"metadata": meta}


@pytest.mark.parametrize("deployment", ["trireme", "trireme-metrics-api"])
def test_processes_of_the_operators_image_have_its_allocator(cluster: Cluster, deployment: str) -> None:
    """A library that can't be loaded is a line on standard error, and nothing else."""
    look = "print('libjemalloc' in open('/proc/1/maps').read())"
    said = cluster.kubectl("exec", f"--namespace={SYSTEM}", f"deployment/{deployment}", "--", "python", "-c", look)
    assert said.strip() == "True"
