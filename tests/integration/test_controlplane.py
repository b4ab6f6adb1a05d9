"""The control plane that these tests run on: quick to start, found again, gone without a trace."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from e2e.cluster.controlplane import GARBAGE_COLLECTION, ControlPlane
from e2e.cluster.processes import ProcessError, marked
from e2e.host import CommandError

pytestmark = pytest.mark.integration


def test_it_is_ready_within_ten_seconds_and_leaves_no_process(tmp_path: Path) -> None:
    started = time.monotonic()
    with ControlPlane(tmp_path, name="trireme-ready") as plane:
        assert time.monotonic() - started < 10
        assert "default" in plane.kubectl("get", "namespaces", "--output=name")
        assert plane.alive() == {"etcd": True, "kube-apiserver": True}
        assert len(marked("trireme-ready")) == 2
    assert marked("trireme-ready") == {}
    assert not plane.ready()


def test_objects_survive_a_restart_of_the_api_server(tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as plane:
        plane.kubectl("create", "namespace", "kept")
        plane.api_server().stop(grace_seconds=0)
        assert not plane.ready()
        plane.start()
        assert plane.kubectl("get", "namespace", "kept", "--output=name").strip() == "namespace/kept"


def test_the_garbage_collector_deletes_what_lost_its_owner(tmp_path: Path) -> None:
    owned = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: owned
  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]
"""
    with ControlPlane(tmp_path, controllers=GARBAGE_COLLECTION) as plane:
        plane.kubectl("create", "configmap", "owner")
        uid = plane.kubectl("get", "configmap", "owner", "--output=jsonpath={.metadata.uid}")
        plane.kubectl("apply", "--filename=-", text=owned.format(uid=uid))
        plane.kubectl("delete", "configmap", "owner")
        plane.kubectl("wait", "--for=delete", "configmap/owned", "--timeout=30s")


def test_only_certificates_of_its_authority_are_let_in(tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as plane:
        nobody = plane.client("nobody", common_name="nobody")
        with pytest.raises(CommandError, match=r'User "nobody" cannot list resource "pods"'):
            plane.kubectl("get", "pods", f"--kubeconfig={nobody}")


def test_a_port_that_is_taken_is_told_with_the_servers_own_words(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "one") as one:
        two = ControlPlane(tmp_path / "two", ports=one.ports)
        try:
            with pytest.raises(ProcessError, match="address already in use"):
                two.start()
        finally:
            two.stop()
