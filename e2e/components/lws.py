"""LeaderWorkerSet: the controller and CRD that Trireme's groups are made with."""

from __future__ import annotations

import time

from e2e.cluster import Cluster
from e2e.components import manifest
from e2e.host import CommandError
from e2e.progress import step
from e2e.toolchain import build_key
from e2e.versions import versions

NAMESPACE = "lws-system"

_MODULE = "sigs.k8s.io/lws"
_WEBHOOK_SECONDS = 60
_WEBHOOK_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")

# Goes through both of the controller's webhooks when it is sent as a dry run, and is never stored.
_SAMPLE = """
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: trireme-webhook-check, namespace: default}
spec:
  leaderWorkerTemplate:
    size: 1
    workerTemplate: {spec: {containers: [{name: main, image: none}]}}
"""


def install_lws(cluster: Cluster, *, wait: bool = True) -> None:
    """Install or repair LWS; with ``wait`` return only when its webhooks answer."""
    with step(f"install LeaderWorkerSet {versions().binaries['lws']}", expected_seconds=4):
        items = _objects(cluster)
        manifest.apply_definitions(cluster, items)
        manifest.apply(cluster, manifest.others(items))
    if wait:
        wait_for_lws(cluster)


def wait_for_lws(cluster: Cluster) -> None:
    """Return when the controller runs and its webhooks let a LeaderWorkerSet through.

    They refuse connections for some seconds after the controller's pod is Ready.

    Raises:
        ComponentError: the controller is not ready within two minutes.
        CommandError: its webhooks still refuse a minute later; shows what they say.

    """
    with step("LeaderWorkerSet controller answers", expected_seconds=20):
        manifest.rolled_out(cluster, "lws-controller-manager", namespace=NAMESPACE)
        deadline = time.monotonic() + _WEBHOOK_SECONDS
        while True:
            try:
                cluster.kubectl("create", "--dry-run=server", "-f", "-", input=_SAMPLE)
            except CommandError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return


def remove_lws(cluster: Cluster) -> None:
    """Remove LWS with its CRDs, and so every LeaderWorkerSet of the cluster.

    Its webhooks go first: without the controller behind them they would refuse the deletions' own updates.
    """
    with step("remove LeaderWorkerSet", expected_seconds=10):
        items = _objects(cluster)
        webhooks = [item for item in items if item["kind"] in _WEBHOOK_KINDS]
        manifest.delete(cluster, webhooks)
        manifest.delete(cluster, [item for item in items if item not in webhooks])


def _objects(cluster: Cluster) -> list[manifest.Object]:
    items = manifest.kustomized(cluster, module=_MODULE, part="lws", folder="config/default")
    return manifest.placed(items, build=build_key("lws"))
