"""What the parts of the cluster send to it, with a cluster that only listens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from e2e import helm
from e2e.components import gateway, lws, manifest, metrics
from e2e.host import CommandError
from e2e.versions import versions

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "lws-controller-manager"},
    "spec": {"template": {"spec": {"containers": [{"name": "manager"}]}}},
}
WEBHOOK = {"apiVersion": "v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "webhook"}}
DEFINITION = {"apiVersion": "v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.org"}}


class Listener:
    """Remembers each kubectl call; answers ``kustomize`` with three objects and fails what is told to fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[str, ...], str | None]] = []
        self.kustomization: dict[str, Any] = {}
        self.failures: dict[str, int] = {}
        self.answers: dict[str, str] = {}

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        self.calls.append((args, input))
        if self.failures.get(args[0], 0) > 0:
            self.failures[args[0]] -= 1
            raise CommandError(["kubectl", *args], 1, "connection refused")
        if args[0] == "kustomize":
            folder = Path(args[1])
            self.kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
            self.kustomization["resolved"] = (folder / self.kustomization["resources"][0]).resolve()
            return yaml.safe_dump_all([DEFINITION, WEBHOOK, DEPLOYMENT])
        return self.answers.get(args[0], "")

    def command(self, *argv: str) -> list[str]:
        return ["inside", *argv]

    def kubeconfig(self) -> Path:
        return Path("/kubeconfig")

    def verbs(self) -> list[str]:
        return [args[0] for args, _ in self.calls]

    def sent(self, verb: str) -> list[list[dict[str, Any]]]:
        return [json.loads(text)["items"] for args, text in self.calls if args[0] == verb and text and text[0] == "{"]


@pytest.fixture
def cluster() -> Any:
    return Listener()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for a downloaded Go module, for all parts."""
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path / "cache"))
    for part in (manifest, gateway):
        monkeypatch.setattr(part, "module_dir", lambda *_: tmp_path)
    for part in (lws, metrics, gateway):
        monkeypatch.setattr(part, "build_key", lambda name: f"key-of-{name}")
    return tmp_path


def test_lws_is_rendered_from_its_release_with_our_image(cluster: Any, module: Path) -> None:
    lws.install_lws(cluster, wait=False)
    assert cluster.kustomization["resolved"] == module.resolve() / "config" / "default"
    [image] = cluster.kustomization["images"]
    assert f"{image['newName']}:{image['newTag']}" == "trireme.dev/e2e/lws:dev"
    [[definition], [webhook, deployment]] = cluster.sent("apply")
    template = deployment["spec"]["template"]
    assert definition["metadata"]["name"] == "things.example.org"
    assert webhook == WEBHOOK
    assert template["metadata"]["annotations"] == {"trireme.dev/build": "key-of-lws"}
    assert template["spec"]["containers"] == [{"name": "manager"}]
    assert manifest.PLATFORM_ZONE in json.dumps(template["spec"]["affinity"])
    assert cluster.verbs() == ["kustomize", "get", "apply", "wait", "apply"]


def test_a_release_is_rendered_once(cluster: Any, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        metrics.install_metrics_server(cluster, wait=False)
    assert cluster.verbs() == ["kustomize", "apply", "apply"]
    (module / "metrics-server.yaml").write_text("images: []\n")
    monkeypatch.setattr(manifest, "MANIFESTS", module)
    metrics.install_metrics_server(cluster, wait=False)
    assert cluster.verbs()[3:] == ["kustomize", "apply"]


def test_definitions_are_applied_only_when_missing_or_different(cluster: Any) -> None:
    manifest.apply_definitions(cluster, [DEFINITION, WEBHOOK])
    [[applied]] = cluster.sent("apply")
    content = applied["metadata"]["labels"]["trireme.dev/content"]
    assert "CustomResourceDefinition/things.example.org" in cluster.calls[-1][0]
    cluster.calls.clear()
    cluster.answers["get"] = f"other.example.org 2026\nthings.example.org 2026-01-01T00:00:00Z {content}\n"
    manifest.apply_definitions(cluster, [DEFINITION])
    assert cluster.verbs() == ["get"]
    manifest.apply_definitions(cluster, [{**DEFINITION, "spec": {"new": True}}])
    assert cluster.verbs() == ["get", "get", "apply", "wait"]


def test_objects_are_applied_on_the_server_by_one_manager(cluster: Any) -> None:
    manifest.apply(cluster, [DEFINITION])
    [(args, _)] = cluster.calls
    assert args[:3] == ("apply", "--server-side", "--force-conflicts")
    assert args[3:] == ("--validate=false", "--field-manager=trireme-e2e", "-f", "-")


def test_the_first_refusals_of_the_lws_webhook_are_waited_out(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    cluster.failures["create"] = 2
    lws.wait_for_lws(cluster)
    assert cluster.verbs() == ["rollout", "create", "create", "create"]
    assert "--dry-run=server" in cluster.calls[-1][0]


def test_a_webhook_that_never_answers_is_an_error(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 45))
    monkeypatch.setattr(lws, "time", SimpleNamespace(sleep=lambda _: None, monotonic=lambda: next(clock)))
    cluster.failures["create"] = 1000
    with pytest.raises(CommandError, match="connection refused"):
        lws.wait_for_lws(cluster)
    assert cluster.verbs().count("create") == 2


def test_lws_goes_without_its_webhooks_in_the_way(cluster: Any, module: Path) -> None:
    lws.remove_lws(cluster)
    kinds = [[item["kind"] for item in items] for items in cluster.sent("delete")]
    assert kinds == [["MutatingWebhookConfiguration"], ["CustomResourceDefinition", "Deployment"]]


def test_a_part_that_does_not_come_up_says_what_its_pods_wait_for(cluster: Any) -> None:
    cluster.failures["rollout"] = 1
    with pytest.raises(manifest.ComponentError, match="kube-system/metrics-server is not ready after 120 s") as caught:
        metrics.wait_for_metrics_server(cluster)
    assert cluster.verbs() == ["rollout", "get", "events"]
    assert "python -m e2e.images" in str(caught.value)


def test_the_chart_gets_its_default_values_and_refuses_new_variables() -> None:
    text = "image: ${GatewayImage}\npolicy: ${GatewayImagePullPolicy}\n"
    assert yaml.safe_load(gateway._chart_values(text)) == {
        "image": "trireme.dev/e2e/envoy-gateway:dev",
        "policy": "IfNotPresent",
    }
    with pytest.raises(KeyError, match="Unknown"):
        gateway._chart_values("${Unknown}")


@pytest.fixture
def chart(module: Path) -> Path:
    folder = module / "charts" / "gateway-helm"
    folder.mkdir(parents=True)
    (folder / "values.tmpl.yaml").write_text("image: ${GatewayImage}\n")
    return folder


class Helm:
    """Stands for the helm program: keeps the one release's description."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.description: str | None = None
        self.status = "deployed"
        self.installs: list[dict[str, Any]] = []
        monkeypatch.setattr(helm, "run", self.run)
        monkeypatch.setattr(helm, "binary", lambda name: Path("/bin", name))

    def run(self, argv: list[str]) -> str:
        start = ["inside", "/bin/helm", "--kubeconfig", "/kubeconfig", "--namespace", "envoy-gateway-system"]
        assert argv[:6] == start
        if argv[6] == "status":
            if self.description is None:
                raise CommandError(argv, 1, "release: not found")
            return json.dumps({"info": {"description": self.description, "status": self.status}})
        if argv[6] == "uninstall":
            self.description = None
            return ""
        assert argv[6:8] == ["upgrade", "--install"]
        assert self.description is None or not self.status.startswith("pending-")
        assert (Path(argv[9]) / "values.yaml").read_text() == "image: trireme.dev/e2e/envoy-gateway:dev\n"
        self.installs.append(yaml.safe_load(Path(argv[argv.index("--values") + 1]).read_text()))
        self.description = argv[argv.index("--description") + 1]
        return ""


def test_the_chart_is_installed_once(cluster: Any, chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helm = Helm(monkeypatch)
    gateway._install_chart(cluster)
    gateway._install_chart(cluster)
    [values] = helm.installs
    assert values["deployment"]["pod"]["annotations"] == {"trireme.dev/build": "key-of-envoy-gateway"}
    assert values["crds"] == {"enabled": False}


@pytest.mark.parametrize("change", ["the program", "the release", "failed", "pending-install"])
def test_the_chart_is_installed_again(change: str, cluster: Any, chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helm = Helm(monkeypatch)
    gateway._install_chart(cluster)
    if change == "the program":
        monkeypatch.setattr(gateway, "build_key", lambda _: "other")
    elif change == "the release":
        other = replace(versions(), binaries={**versions().binaries, "envoy-gateway": "9.9.9"})
        monkeypatch.setattr(gateway, "versions", lambda: other)
    else:
        helm.status = change
    gateway._install_chart(cluster)
    assert len(helm.installs) == 2


def test_a_cluster_that_does_not_answer_is_not_taken_for_an_empty_one(
    cluster: Any, chart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(argv: list[str]) -> str:
        raise CommandError(argv, 1, "Kubernetes cluster unreachable")

    Helm(monkeypatch)
    monkeypatch.setattr(helm, "run", refused)
    with pytest.raises(CommandError, match="unreachable"):
        gateway._install_chart(cluster)


def test_the_class_puts_envoy_into_the_platform_zone_behind_a_cluster_ip() -> None:
    proxy, klass = gateway._gateway_class()
    kubernetes = proxy["spec"]["provider"]["kubernetes"]
    assert kubernetes["envoyService"] == {"type": "ClusterIP"}
    assert manifest.PLATFORM_ZONE in json.dumps(kubernetes["envoyDeployment"]["pod"]["affinity"])
    assert klass["spec"]["parametersRef"]["name"] == proxy["metadata"]["name"]
    assert klass["metadata"]["name"] == "envoy"
