"""The chart and the plain manifests, through the real Helm, the real kubectl and a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.controlplane import ControlPlane
from e2e.host import CommandError, run
from e2e.toolchain import kube_link_dir
from scripts import chart, generate_manifests

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
OPERATOR = "system:serviceaccount:trireme-system:trireme"
DIGEST = f"sha256:{'0' * 64}"

Obj = dict[str, Any]


def by_identity(objects: list[Obj]) -> dict[tuple[str, str, str], Obj]:
    return {(obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): obj for obj in objects}


def load_all(text: str) -> list[Obj]:
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document is not None]


def installed_by_file() -> dict[tuple[str, str, str], Obj]:
    return by_identity(load_all((ROOT / "manifests" / "install.yaml").read_text()))


def kustomize(folder: Path) -> dict[tuple[str, str, str], Obj]:
    return by_identity(load_all(run([kube_link_dir() / "kubectl", "kustomize", folder])))


def operator_container(objects: list[Obj]) -> Obj:
    deployment = next(obj for obj in objects if obj["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def environment(container: Obj) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


# ---- without a server ------------------------------------------------------------------------------------


def test_chart_file_and_kustomize_base_give_the_same_objects() -> None:
    crds = [obj for file in sorted((chart.CHART / "crds").glob("*.yaml")) for obj in load_all(file.read_text())]
    from_chart = by_identity([*crds, *map(generate_manifests.without_helm, chart.template())])
    from_file = installed_by_file()
    namespace = from_file.pop(("Namespace", "", chart.NAMESPACE))

    assert from_file == from_chart
    assert kustomize(ROOT / "manifests" / "base") == from_chart | {("Namespace", "", chart.NAMESPACE): namespace}


def test_a_kustomize_overlay_can_choose_the_namespace(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for file in (ROOT / "manifests" / "base").iterdir():
        (base / file.name).write_text(file.read_text())
    (tmp_path / "kustomization.yaml").write_text("namespace: elsewhere\nresources: [base]\n")

    objects = kustomize(tmp_path)

    assert ("Namespace", "", "elsewhere") in objects
    assert ("Deployment", "elsewhere", "trireme") in objects
    assert objects["ClusterRoleBinding", "", "trireme"]["subjects"][0]["namespace"] == "elsewhere"


def test_with_namespaces_the_operator_has_rights_there_only() -> None:
    objects = chart.template("--set", "namespaces={genai,staging}")
    found = by_identity(objects)
    cluster_wide = [name for rule in found["ClusterRole", "", "trireme"]["rules"] for name in rule["resources"]]

    assert sorted(set(cluster_wide)) == ["apiservices", "clusterroles", "gateways"]
    for namespace in ("genai", "staging"):
        granted = [name for rule in found["Role", namespace, "trireme"]["rules"] for name in rule["resources"]]
        assert {"inferenceclusters", "leaderworkersets", "pods", "httproutes"} <= set(granted)
        subject = found["RoleBinding", namespace, "trireme"]["subjects"][0]
        assert (subject["name"], subject["namespace"]) == ("trireme", chart.NAMESPACE)
    assert environment(operator_container(objects))["TRIREME_NAMESPACES"] == "genai,staging"


def test_the_lease_is_in_the_namespace_that_its_right_is_for(tmp_path: Path) -> None:
    """Also where kustomize moves both: the namespace comes from the pod."""
    found = by_identity(chart.template(release="mine"))
    rules = found["Role", chart.NAMESPACE, "mine-trireme-lease"]["rules"]
    (rule,) = [each for each in rules if each["resources"] == ["leases"]]
    entries = {entry["name"]: entry for entry in operator_container(list(found.values()))["env"]}

    assert entries["TRIREME_LEASE"]["value"] == f"$(TRIREME_NAMESPACE)/{rule['resourceNames'][0]}"
    assert entries["TRIREME_NAMESPACE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_two_operators_stand_in_different_zones_and_are_drained_one_by_one() -> None:
    found = by_identity(chart.template())
    deployment = found["Deployment", chart.NAMESPACE, "trireme"]["spec"]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    budget = found["PodDisruptionBudget", chart.NAMESPACE, "trireme"]["spec"]

    assert deployment["replicas"] == 2
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    for selector in (budget["selector"], *(each["labelSelector"] for each in spread)):
        assert selector == deployment["selector"]
    assert budget["maxUnavailable"] == 1
    assert ("PodDisruptionBudget", chart.NAMESPACE, "trireme") not in by_identity(
        chart.template("--set", "replicas=1")
    ), "the budget of a single one would hold up every drain"


def test_launchers_are_told_the_service_that_the_operators_answer_behind() -> None:
    found = by_identity(chart.template(release="mine"))
    deployment = found["Deployment", chart.NAMESPACE, "mine-trireme"]["spec"]
    service = found["Service", chart.NAMESPACE, "mine-trireme-permit"]["spec"]
    container = operator_container(list(found.values()))
    (port,) = service["ports"]

    assert service["selector"].items() <= deployment["template"]["metadata"]["labels"].items()
    assert {"name": port["targetPort"], "containerPort": 8081} in container["ports"]
    assert environment(container)["TRIREME_PERMIT_PORT"] == "8081"
    url = "http://mine-trireme-permit.$(TRIREME_NAMESPACE).svc:8081"
    assert environment(container)["TRIREME_PERMIT_URL"] == url
    assert port["port"] == 8081


def test_a_network_policy_lets_launchers_and_the_named_in_and_nobody_else() -> None:
    assert not [obj for obj in chart.template() if obj["kind"] == "NetworkPolicy"]
    found = by_identity(chart.template(values=[chart.CASES / "full-values.yaml"]))
    policy = found["NetworkPolicy", chart.NAMESPACE, "trireme"]["spec"]
    deployment = found["Deployment", chart.NAMESPACE, "trireme"]["spec"]

    assert policy["podSelector"] == deployment["selector"]
    launchers, metrics = policy["ingress"]
    (pods,) = launchers["from"]
    assert pods["namespaceSelector"] == {}
    assert pods["podSelector"] == {"matchExpressions": [{"key": "trireme.dev/cluster", "operator": "Exists"}]}
    assert launchers["ports"] == [{"protocol": "TCP", "port": "permit"}]
    assert metrics["ports"] == [{"protocol": "TCP", "port": "metrics"}]


def test_the_metrics_servers_stand_apart_and_find_their_service_and_secret() -> None:
    found = by_identity(chart.template(release="mine"))
    name = "mine-trireme-metrics-api"
    deployment = found["Deployment", chart.NAMESPACE, name]["spec"]
    service = found["Service", chart.NAMESPACE, name]["spec"]
    operator = found["Deployment", chart.NAMESPACE, "mine-trireme"]["spec"]
    (container,) = deployment["template"]["spec"]["containers"]
    labels = deployment["template"]["metadata"]["labels"]

    assert deployment["replicas"] == 2
    assert found["PodDisruptionBudget", chart.NAMESPACE, name]["spec"]["selector"] == deployment["selector"]
    assert service["selector"].items() <= labels.items()
    assert not operator["selector"]["matchLabels"].items() <= labels.items()
    assert service["ports"] == [{"name": "https", "port": 443, "targetPort": "api"}]
    assert {"name": "api", "containerPort": int(environment(container)["TRIREME_METRICS_API_PORT"])} in container[
        "ports"
    ]
    for each in (container, operator_container(list(found.values()))):
        assert environment(each)["TRIREME_METRICS_API"] == f"$(TRIREME_NAMESPACE)/{name}"
    assert "data" not in found["Secret", chart.NAMESPACE, name]
    assert ("ClusterRole", "", name) in found


def test_without_the_metrics_server_there_is_no_trace_of_it() -> None:
    objects = chart.template(values=[chart.CASES / "no-metrics-api-values.yaml"])
    assert not [obj for obj in objects if "metrics-api" in obj["metadata"]["name"]]
    assert "TRIREME_METRICS_API" not in environment(operator_container(objects))
    rules = [rule for obj in objects for rule in obj.get("rules", [])]
    assert [rule["verbs"] for rule in rules if "apiservices" in rule["resources"]] == [["list"]], "who serves metrics"
    assert not [rule for rule in rules if {"secrets", "clusterroles", "namespaces"} & set(rule["resources"])]


def test_metrics_servers_see_pods_in_the_served_namespaces_only() -> None:
    found = by_identity(chart.template("--set", "namespaces={genai}"))
    name = "trireme-metrics-api"
    assert [rule["resources"] for rule in found["ClusterRole", "", name]["rules"]] == [["configmaps"]]
    (rule,) = found["Role", "genai", f"{name}-pods"]["rules"]
    assert rule == {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    binding = found["RoleBinding", "genai", f"{name}-pods"]
    assert binding["roleRef"]["name"] == f"{name}-pods"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": chart.NAMESPACE}]


@pytest.mark.parametrize("served", [(), ("--set", "namespaces={genai}")], ids=["everywhere", "in one namespace"])
def test_nodes_are_read_only_where_maintenance_is_asked_for(served: tuple[str, ...]) -> None:
    before = by_identity(chart.template(*served))
    after = by_identity(chart.template(*served, "--set", "nodeMaintenance.enabled=true"))
    assert before.keys() == after.keys()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {("ClusterRole", "", "trireme"), ("Deployment", chart.NAMESPACE, "trireme")}
    more = [rule for rule in after["ClusterRole", "", "trireme"]["rules"] if "nodes" in rule["resources"]]
    assert more == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}]
    assert [rule for rule in after["ClusterRole", "", "trireme"]["rules"] if rule not in more] == before[
        "ClusterRole", "", "trireme"
    ]["rules"]
    taints = environment(operator_container(list(after.values())))["TRIREME_NODE_MAINTENANCE"].split(",")
    assert {"node.kubernetes.io/unschedulable", "karpenter.sh/disrupted"} < set(taints)
    assert "TRIREME_NODE_MAINTENANCE" not in environment(operator_container(list(before.values())))


@pytest.mark.parametrize("taints", ["{}", "{a b}", "{karpenter.sh/}"])
def test_taints_that_can_not_be_are_refused(taints: str) -> None:
    with pytest.raises(chart.ChartError, match="taints"):
        chart.template("--set", "nodeMaintenance.enabled=true", "--set", f"nodeMaintenance.taints={taints}")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_right_to_finalizers_is_given_only_where_it_is_asked_for(wanted: bool) -> None:
    objects = chart.template("--set", f"rbac.ownerFinalizers={str(wanted).lower()}")
    rules = by_identity(objects)["ClusterRole", "", "trireme"]["rules"]

    assert any("inferenceclusters/finalizers" in rule["resources"] for rule in rules) is wanted


@pytest.mark.parametrize(
    ("values", "image", "launcher"),
    [
        pytest.param([], "trireme.dev/operator:0.1.0", "trireme.dev/runtime:0.1.0", id="the chart's own version"),
        pytest.param(
            ["image.tag=dev", "launcher.image.tag=dev"],
            "trireme.dev/operator:dev",
            "trireme.dev/runtime:dev",
            id="a tag",
        ),
        pytest.param(
            ["image.tag=dev", f"image.digest={DIGEST}", "launcher.image.repository=host:5000/a/runtime"],
            f"trireme.dev/operator@{DIGEST}",
            "host:5000/a/runtime:0.1.0",
            id="a digest wins over a tag",
        ),
    ],
)
def test_images_are_what_the_values_say(values: list[str], image: str, launcher: str) -> None:
    flags = [item for value in values for item in ("--set-string", value)]
    container = operator_container(chart.template(*flags))

    assert container["image"] == image
    assert environment(container)["TRIREME_LAUNCHER_IMAGE"] == launcher


@pytest.mark.parametrize(
    ("value", "named"),
    [
        pytest.param("image.tagg=dev", "tagg", id="a typing error"),
        pytest.param("namespaces={Gen_AI}", "namespaces", id="no name of a namespace"),
        pytest.param("logFormat=xml", "logFormat", id="no such log format"),
        pytest.param("image.digest=abc", "digest", id="no digest"),
        pytest.param("launcher.image.pullPolicy=Sometimes", "pullPolicy", id="no such pull policy"),
    ],
)
def test_wrong_values_are_refused_by_name(value: str, named: str) -> None:
    with pytest.raises(chart.ChartError, match=named):
        chart.template("--set", value)


def test_a_label_of_the_pod_cannot_break_the_selector() -> None:
    objects = chart.template("--set-string", r"podLabels.app\.kubernetes\.io/component=mine")
    deployment = next(obj for obj in objects if obj["kind"] == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]

    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


# ---- on an API server ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("packaging")) as running:
        yield running


@pytest.fixture(scope="module")
def applied(plane: ControlPlane) -> ControlPlane:
    apply_file(plane)
    return plane


def apply_file(plane: ControlPlane) -> list[Obj]:
    file = ROOT / "manifests" / "install.yaml"
    answer = plane.kubectl("apply", "--server-side", "--validate=strict", "--output=json", f"--filename={file}")
    items: list[Obj] = json.loads(answer)["items"]
    return items


def versions(objects: list[Obj]) -> dict[str, str]:
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"] for obj in objects}


def test_applying_the_file_twice_changes_nothing(applied: ControlPlane) -> None:
    first = versions(apply_file(applied))

    assert versions(apply_file(applied)) == first


@pytest.mark.parametrize("deployment", ["trireme", "trireme-metrics-api"])
def test_each_pod_is_admitted_where_pod_security_is_restricted(applied: ControlPlane, deployment: str) -> None:
    pod = json.dumps(pod_of(deployment))

    answer = applied.kubectl("create", "--dry-run=server", "--output=name", "--filename=-", text=pod)

    assert answer.strip() == "pod/probe"


def test_that_namespace_does_refuse_a_lesser_pod(applied: ControlPlane) -> None:
    pod = pod_of("trireme")
    del pod["spec"]["containers"][0]["securityContext"]

    with pytest.raises(CommandError, match="violates PodSecurity"):
        applied.kubectl("create", "--dry-run=server", "--filename=-", text=json.dumps(pod))


def pod_of(deployment: str) -> Obj:
    template = installed_by_file()["Deployment", chart.NAMESPACE, deployment]["spec"]["template"]
    metadata = {"name": "probe", "namespace": chart.NAMESPACE, "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


@pytest.mark.parametrize(
    ("verb", "group", "resource", "allowed"),
    [
        pytest.param("watch", "trireme.dev", "inferenceclusters", True, id="sees what is asked for"),
        pytest.param("patch", "trireme.dev", "inferenceclusters/status", True, id="says what is"),
        pytest.param("patch", "trireme.dev", "inferenceclusters", False, id="never writes a spec"),
        pytest.param("create", "", "services", True, id="makes children"),
        pytest.param("update", "", "services", False, id="applies and never replaces"),
        pytest.param("delete", "apps", "controllerrevisions", True, id="prunes children"),
        pytest.param("delete", "", "pods", False, id="leaves pods to LeaderWorkerSet"),
        pytest.param("get", "", "secrets", False, id="reads no secret"),
        pytest.param("list", "", "nodes", False, id="reads no node"),
        pytest.param("update", "trireme.dev", "inferenceclusters/finalizers", False, id="holds no deletion up"),
        pytest.param("create", "", "pods/exec", False, id="enters no pod"),
        pytest.param("delete", "apiregistration.k8s.io", "apiservices", False, id="leaves other APIs alone"),
    ],
)
def test_the_operator_may_do_its_work_and_nothing_else(
    applied: ControlPlane,
    verb: str,
    group: str,
    resource: str,
    allowed: bool,
) -> None:
    name, _, part = resource.partition("/")
    asked = {"namespace": "anywhere", "verb": verb, "group": group, "resource": name, "subresource": part}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": OPERATOR, "resourceAttributes": asked},
    }

    answer = applied.kubectl("create", "--output=json", "--filename=-", text=json.dumps(review))

    assert json.loads(answer)["status"].get("allowed", False) is allowed


def test_helm_installs_upgrades_without_a_change_and_leaves_the_crd(plane: ControlPlane) -> None:
    common = ["--kubeconfig", str(plane.kubeconfig), "--namespace", "by-helm"]
    upgrade = ["upgrade", "--install", "other", str(chart.CHART), "--create-namespace", *common]
    names = ("deployment/other-trireme", "serviceaccount/other-trireme", "clusterrole/other-trireme")

    def seen() -> dict[str, str]:
        answer = json.loads(plane.kubectl("get", *names, "--namespace=by-helm", "--output=json"))
        return versions(answer["items"])

    chart.helm(*upgrade)
    first = seen()
    secret = ["secret", "other-trireme-metrics-api", "--namespace=by-helm"]
    plane.kubectl("patch", *secret, "--type=merge", '--patch={"stringData":{"tls.crt":"by the server"}}')
    chart.helm(*upgrade)
    assert seen() == first
    assert len(first) == len(names)
    assert json.loads(plane.kubectl("get", *secret, "--output=json"))["data"], "the certificate outlives upgrades"

    chart.helm("uninstall", "other", *common)
    assert "inferenceclusters" in plane.kubectl("get", "crd", "--output=name")
    with pytest.raises(CommandError, match="NotFound"):
        seen()
