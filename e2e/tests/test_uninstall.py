"""Whoever uninstalls Trireme while resources are autoscaled keeps their groups, and a cluster that works."""

from __future__ import annotations

import uuid

import pytest

from e2e import resources, stack
from e2e.api import Api, wait_until
from e2e.cluster import Cluster
from e2e.drills.timeline import is_ready
from e2e.helm import Release
from e2e.tests import queued
from e2e.tests.queued import API_SERVICE, NAME, ZONES

pytestmark = [pytest.mark.e2e, pytest.mark.drill, pytest.mark.timeout(600)]

NAMESPACE_SECONDS = 30


def test_an_uninstall_leaves_the_groups_and_nothing_that_holds_a_namespace_up(
    cluster: Cluster, kube: Api, namespace: str
) -> None:
    with queued.serving(cluster, kube, namespace, queued.scaled()):
        before = {pod["metadata"]["uid"] for pod in resources.pods(kube, namespace, NAME)}
        try:
            Release(cluster, "trireme", stack.NAMESPACE).helm("uninstall", "trireme", "--wait")
            _gone(kube, API_SERVICE)
            doomed = f"e2e-{uuid.uuid4().hex[:8]}"
            stack.namespace(cluster, doomed)
            kube.delete(f"/api/v1/namespaces/{doomed}")
            _gone(kube, f"/api/v1/namespaces/{doomed}")
            pods = resources.pods(kube, namespace, NAME)
            assert {pod["metadata"]["uid"] for pod in pods} == before
            assert len(pods) == len(ZONES)
            assert all(map(is_ready, pods))
        finally:
            stack.install_trireme(cluster)


def _gone(kube: Api, path: str) -> None:
    wait_until(lambda: kube.find(path) is None, timeout_seconds=NAMESPACE_SECONDS, what=f"{path} to be gone")
