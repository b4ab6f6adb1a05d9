"""metrics-server: the CPU and memory figures that ``kubectl top`` and resource-based autoscaling read."""

from __future__ import annotations

from e2e.cluster import Cluster
from e2e.components import manifest
from e2e.progress import step
from e2e.toolchain import build_key
from e2e.versions import versions

_MODULE = "sigs.k8s.io/metrics-server"


def install_metrics_server(cluster: Cluster, *, wait: bool = True) -> None:
    """Install or repair metrics-server; with ``wait`` return only when its API is served."""
    with step(f"install metrics-server {versions().binaries['metrics-server']}"):
        manifest.apply(cluster, _objects(cluster))
    if wait:
        wait_for_metrics_server(cluster)


def wait_for_metrics_server(cluster: Cluster) -> None:
    """Return when the API server serves ``metrics.k8s.io``.

    Raises:
        ComponentError: the server is not ready within two minutes.
        CommandError: its API is not served a minute later.

    """
    with step("metrics-server answers", expected_seconds=40):
        manifest.rolled_out(cluster, "metrics-server", namespace="kube-system")
        cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=60s")


def remove_metrics_server(cluster: Cluster) -> None:
    """Remove metrics-server and its API."""
    with step("remove metrics-server"):
        manifest.delete(cluster, _objects(cluster))


def _objects(cluster: Cluster) -> list[manifest.Object]:
    items = manifest.kustomized(cluster, module=_MODULE, part="metrics-server", folder="manifests/base")
    return manifest.placed(items, build=build_key("metrics-server"))
