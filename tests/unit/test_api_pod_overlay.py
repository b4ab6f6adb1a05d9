"""What spec.podTemplate may not say is refused with the path; whatever its shape, nothing crashes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.resources import cluster, raw, zones
from trireme_operator import rendering
from trireme_operator.api import InvalidResource, parse
from trireme_operator.planning import plan

Obj = dict[str, Any]


def violations(spec: Obj | None = None, metadata: Obj | None = None, **more: Any) -> dict[str, str]:
    with pytest.raises(InvalidResource) as caught:
        parse(raw(podTemplate={"spec": spec or {}, "metadata": metadata or {}}, **more))
    return {violation.path: violation.message for violation in caught.value.violations}


def engine(**fields: Any) -> Obj:
    return {"containers": [{"name": "engine", **fields}]}


POD = "spec.podTemplate.spec"

HOST: dict[str, tuple[Obj, str]] = {
    "the host's network": ({"hostNetwork": True}, f"{POD}.hostNetwork"),
    "the host's processes": ({"hostPID": True}, f"{POD}.hostPID"),
    "the host's memory": ({"hostIPC": True}, f"{POD}.hostIPC"),
    "the host's files": ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, f"{POD}.volumes[0].hostPath"),
    "a share of a server": ({"volumes": [{"name": "x", "nfs": {}}]}, f"{POD}.volumes[0].nfs"),
    "a port of the host": (
        engine(ports=[{"containerPort": 9, "hostPort": 9}]),
        f"{POD}.containers[0].ports[0].hostPort",
    ),
    "another account": ({"serviceAccountName": "admin"}, f"{POD}.serviceAccountName"),
    "a token": ({"automountServiceAccountToken": True}, f"{POD}.automountServiceAccountToken"),
    "root": ({"securityContext": {"runAsUser": 0}}, f"{POD}.securityContext.runAsUser"),
    "any user": ({"securityContext": {"runAsNonRoot": False}}, f"{POD}.securityContext.runAsNonRoot"),
    "no seccomp": (
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        f"{POD}.securityContext.seccompProfile",
    ),
    "a sysctl": ({"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}}, f"{POD}.securityContext.sysctls"),
    "privileges": (
        engine(securityContext={"privileged": True}),
        f"{POD}.containers[0].securityContext.privileged",
    ),
    "more privileges later": (
        engine(securityContext={"allowPrivilegeEscalation": True}),
        f"{POD}.containers[0].securityContext.allowPrivilegeEscalation",
    ),
    "a capability": (
        {"initContainers": [{"name": "x", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]},
        f"{POD}.initContainers[0].securityContext.capabilities",
    ),
    "a view of the kernel": (
        engine(securityContext={"procMount": "Unmasked"}),
        f"{POD}.containers[0].securityContext.procMount",
    ),
}

OWNED: dict[str, tuple[Obj, str]] = {
    "the image": (engine(image="x"), f"{POD}.containers[0].image"),
    "the command": (engine(command=["sh"]), f"{POD}.containers[0].command"),
    "the arguments": (engine(args=["serve"]), f"{POD}.containers[0].args"),
    "a probe": (engine(livenessProbe={}), f"{POD}.containers[0].livenessProbe"),
    "a hook that would break the drain": (engine(lifecycle={}), f"{POD}.containers[0].lifecycle"),
    "a variable of the contract": (
        engine(env=[{"name": "TRIREME_ZONE", "value": "x"}]),
        f"{POD}.containers[0].env[0].name",
    ),
    "the address of the pod": (engine(env=[{"name": "VLLM_HOST_IP"}]), f"{POD}.containers[0].env[0].name"),
    "the home": (engine(env=[{"name": "HOME", "value": "/"}]), f"{POD}.containers[0].env[0].name"),
    "a variable of LeaderWorkerSet": (engine(env=[{"name": "LWS_GROUP_SIZE"}]), f"{POD}.containers[0].env[0].name"),
    "the launcher's directory": (
        engine(volumeMounts=[{"name": "x", "mountPath": "/trireme/"}]),
        f"{POD}.containers[0].volumeMounts[0].mountPath",
    ),
    "the launcher's volume": (
        {"containers": [{"name": "x", "volumeMounts": [{"name": "trireme-launcher", "mountPath": "/x"}]}]},
        f"{POD}.containers[0].volumeMounts[0].name",
    ),
    "the launcher's volume by another name": (
        {"initContainers": [{"name": "x", "volumeMounts": [{"name": "trireme-launcher", "mountPath": "/y"}]}]},
        f"{POD}.initContainers[0].volumeMounts[0].name",
    ),
    "a volume of ours": ({"volumes": [{"name": "trireme-home", "emptyDir": {}}]}, f"{POD}.volumes[0].name"),
    "the launcher": ({"initContainers": [{"name": "launcher"}]}, f"{POD}.initContainers[0].name"),
    "a second engine": ({"initContainers": [{"name": "engine"}]}, f"{POD}.initContainers[0].name"),
    "the grace period": ({"terminationGracePeriodSeconds": 5}, f"{POD}.terminationGracePeriodSeconds"),
    "service links": ({"enableServiceLinks": True}, f"{POD}.enableServiceLinks"),
    "process 1": ({"shareProcessNamespace": True}, f"{POD}.shareProcessNamespace"),
    "a field that no pod has": ({"tolerationss": []}, f"{POD}.tolerationss"),
}

SHAPES: dict[str, tuple[Obj, str]] = {
    "containers that are no list": ({"containers": {"name": "engine"}}, f"{POD}.containers"),
    "a container that is no object": ({"containers": ["engine"]}, f"{POD}.containers[0]"),
    "a container without a name": ({"containers": [{}]}, f"{POD}.containers[0].name"),
    "variables that are no list": (engine(env={"A": "B"}), f"{POD}.containers[0].env"),
    "a selector that is no object": ({"nodeSelector": ["a"]}, f"{POD}.nodeSelector"),
    "resources that are no object": (engine(resources=[1]), f"{POD}.containers[0].resources"),
    "an amount that is none": (
        engine(resources={"requests": {"cpu": "many"}}),
        f"{POD}.containers[0].resources.requests.cpu",
    ),
    "a size that is none": (
        {"volumes": [{"name": "x", "emptyDir": {"sizeLimit": "big"}}]},
        f"{POD}.volumes[0].emptyDir.sizeLimit",
    ),
    "an affinity that is no object": ({"affinity": {"podAffinity": []}}, f"{POD}.affinity.podAffinity"),
    "terms that are no list": (
        {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}},
        f"{POD}.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution",
    ),
    "a security context that is none": ({"securityContext": True}, f"{POD}.securityContext"),
}


@pytest.mark.parametrize(
    ("spec", "path"),
    [pytest.param(*pair, id=what) for group in (HOST, OWNED, SHAPES) for what, pair in group.items()],
)
def test_it_is_refused_where_it_stands(spec: Obj, path: str) -> None:
    found = violations(spec)
    assert list(found) == [path]
    assert len(found[path]) > 10


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        pytest.param({"labels": {"trireme.dev/rotation": "out"}}, "labels[trireme.dev/rotation]", id="our label"),
        pytest.param(
            {"labels": {"leaderworkerset.sigs.k8s.io/name": "x"}}, "labels[leaderworkerset.sigs.k8s.io/name]", id="LWS"
        ),
        pytest.param(
            {"annotations": {"container.apparmor.security.beta.kubernetes.io/engine": "unconfined"}},
            "annotations[container.apparmor.security.beta.kubernetes.io/engine]",
            id="AppArmor",
        ),
        pytest.param({"annotations": {"a": 1}}, "annotations[a]", id="a number"),
        pytest.param({"labels": ["a"]}, "labels", id="no object"),
        pytest.param({"name": "x"}, "name", id="a name"),
    ],
)
def test_metadata_is_labels_and_annotations_of_others(metadata: Obj, path: str) -> None:
    assert list(violations(metadata=metadata)) == [f"spec.podTemplate.metadata.{path}"]


def test_a_node_selector_for_the_zone_is_refused_with_zones_only() -> None:
    spec = {"nodeSelector": {"topology.kubernetes.io/zone": "a"}}
    assert list(violations(spec, zones=zones("a"))) == [f"{POD}.nodeSelector[topology.kubernetes.io/zone]"]
    assert parse(raw(podTemplate={"spec": spec}))


def test_what_is_stricter_than_ours_is_taken() -> None:
    context = {"runAsUser": 1000, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
    assert parse(raw(podTemplate={"spec": engine(securityContext=context)}))


def test_nulls_mean_absent_and_never_take_anything_away() -> None:
    nulls = {"securityContext": None, "containers": [{"name": "engine", "env": None, "securityContext": None}]}
    laid = cluster(podTemplate={"spec": nulls, "metadata": None})
    settings = rendering.Settings("launcher")
    with_nulls = rendering.render_template(laid, plan(laid), settings)
    assert with_nulls == rendering.render_template(cluster(), plan(cluster()), settings)


scalars = st.none() | st.booleans() | st.integers(-3, 70000) | st.text(max_size=6)
FIELDS = (
    "containers initContainers volumes env ports volumeMounts tolerations imagePullSecrets hostAliases envFrom name"
    " affinity podAffinity nodeSelector securityContext capabilities seccompProfile resources requests limits cpu"
    " emptyDir sizeLimit key effect topologySpreadConstraints topologyKey whenUnsatisfiable mountPath containerPort"
    " protocol requiredDuringSchedulingIgnoredDuringExecution schedulingGates resourceClaims sysctls runAsUser"
)
values = st.recursive(
    scalars | st.just("engine"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS.split()), inner, max_size=5),
    max_leaves=20,
)


@given(spec=st.dictionaries(st.sampled_from(FIELDS.split()), values, max_size=6))
def test_any_overlay_is_refused_or_rendered(spec: Obj) -> None:
    try:
        resource = parse(raw(podTemplate={"spec": spec}, parallelism={"pipeline": 2}))
    except InvalidResource:
        return
    planned = plan(resource)
    template = rendering.render_template(resource, planned, rendering.Settings("launcher"))
    placed = rendering.leader_worker_set(resource, planned, planned.zones[0], revision_name="r", template=template)
    assert placed["spec"]["leaderWorkerTemplate"]["size"] == 2
