"""Where a model comes from, as kubelets and a container runtime see it."""

from __future__ import annotations

import pytest

from e2e import resources
from e2e.api import Api
from e2e.cluster import Cluster
from e2e.host import CommandError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

INSIDE = "opt/double"
"""A directory of the double's image, which stands for that of a model in its own."""


def test_a_model_in_an_image_is_where_its_engine_looks(cluster: Cluster, kube: Api, namespace: str) -> None:
    source = f"oci://{resources.DOUBLE_IMAGE}//{INSIDE}"
    body = resources.double("image", zones=("zone-a",), model={"source": source, "servedName": "image"})
    resources.apply(cluster, namespace, body)
    resources.wait_for(kube, namespace, "image", "Ready")
    for pod in resources.pods(kube, namespace, "image"):
        where = ("exec", f"--namespace={namespace}", pod["metadata"]["name"], "--container=engine", "--")
        command = cluster.kubectl(*where, "cat", "/proc/1/cmdline").split("\0")
        assert f"/mnt/model/{INSIDE}" in command, "vLLM's positional argument"
        assert "tests" in cluster.kubectl(*where, "ls", f"/mnt/model/{INSIDE}").split()
        with pytest.raises(CommandError, match="Read-only file system"):
            cluster.kubectl(*where, "touch", "/mnt/model/mine")
