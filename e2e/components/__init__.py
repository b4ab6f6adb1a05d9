"""What a user's cluster has before Trireme comes: LeaderWorkerSet, a gateway, resource metrics.

Each part is installed from its own upstream release (kustomize folder, chart, CRDs), with images built here.
Installing again repairs what was changed by hand (CRDs apart, which only another release replaces) and changes
nothing else.

The controllers and Envoy run in ``PLATFORM_ZONE`` while its node lives, so that a test can take another zone
away without taking the platform with it. It is a preference: without that node they run elsewhere.
"""

from __future__ import annotations

from e2e.cluster import Cluster
from e2e.components.gateway import install_gateway, remove_gateway, wait_for_gateway
from e2e.components.lws import install_lws, remove_lws, wait_for_lws
from e2e.components.manifest import PLATFORM_ZONE
from e2e.components.metrics import install_metrics_server, remove_metrics_server, wait_for_metrics_server

__all__ = [
    "PLATFORM_ZONE",
    "install",
    "install_gateway",
    "install_lws",
    "install_metrics_server",
    "remove_gateway",
    "remove_lws",
    "remove_metrics_server",
    "wait_for_all",
    "wait_for_gateway",
    "wait_for_lws",
    "wait_for_metrics_server",
]


def install(cluster: Cluster, *, wait: bool = True) -> None:
    """Install all parts, and return when each of them answers (`wait_for_all`), unless that is left to the caller.

    Their images must be on the nodes already.
    """
    install_metrics_server(cluster, wait=False)  # the slowest to answer: it wants a round of measurements first
    install_lws(cluster, wait=False)
    install_gateway(cluster, wait=False)
    if wait:
        wait_for_all(cluster)


def wait_for_all(cluster: Cluster) -> None:
    """Return when each part answers."""
    for wait in (wait_for_lws, wait_for_gateway, wait_for_metrics_server):
        wait(cluster)
