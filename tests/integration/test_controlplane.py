"""The control plane that these tests run on: quick to start, found again, gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.controlplane import GARBAGE_COLLECTION, ControlPlane
from e2e.cluster.processes import ProcessError, marked
from e2e.host import CommandError

pytestmark = pytest.mark.integration


def test_it_is_ready_and_leaves_no_process(tmp_path: Path) -> None:
    with ControlPlane(tmp_path, name="trireme-ready") as plane:
        assert "default" in plane.kubectl("get", "namespaces", "--output=name")
        assert plane.alive() == {"etcd": True, "kube-apiserver": True}
        assert len(marked("trireme-ready")) == 2
    assert marked("trireme-ready") == {}
    assert not plane.ready()


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane"), controllers=GARBAGE_COLLECTION) as running:
        yield running


def test_objects_survive_a_restart_of_the_api_server(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "kept")
    plane.api_server().stop(grace_seconds=0)
    assert not plane.ready()
    plane.start()
    assert plane.kubectl("get", "namespace", "kept", "--output=name").strip() == "namespace/kept"


def test_the_garbage_collector_deletes_what_lost_its_owner(plane: ControlPlane) -> None:
    owned = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: owned
  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]
"""
    plane.kubectl("create", "configmap", "owner")
    uid = plane.kubectl("get", "configmap", "owner", "--output=jsonpath={.metadata.uid}")
    plane.kubectl("apply", "--filename=-", text=owned.format(uid=uid))
    plane.kubectl("delete", "configmap", "owner")
    plane.kubectl("wait", "--for=delete", "configmap/owned", "--timeout=60s")


def test_only_certificates_of_its_authority_are_let_in(plane: ControlPlane) -> None:
    nobody = plane.client("nobody", common_name="nobody")
    with pytest.raises(CommandError, match=r'User "nobody" cannot list resource "pods"'):
        plane.kubectl("get", "pods", f"--kubeconfig={nobody}")


def test_a_port_that_is_taken_is_told_with_the_servers_own_words_and_nothing_stays(
    plane: ControlPlane, tmp_path: Path
) -> None:
    with (
        pytest.raises(ProcessError, match="address already in use"),
        ControlPlane(tmp_path, name="trireme-second", ports=plane.ports),
    ):
        pass
    assert marked("trireme-second") == {}
