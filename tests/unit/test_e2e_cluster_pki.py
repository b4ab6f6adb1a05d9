"""Certificates: what openssl itself says of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from e2e.cluster.pki import Authority, signing_key, write_kubeconfig
from e2e.host import CommandError, run


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "cluster-ca")


def describe(certificate: Path) -> str:
    return run(["openssl", "x509", "-in", certificate, "-noout", "-text"])


def test_an_authority_may_sign(authority: Authority) -> None:
    text = describe(authority.pair.certificate)
    assert "CA:TRUE" in text
    assert "Certificate Sign" in text


def test_what_it_issues_is_verified_and_may_not_sign(authority: Authority) -> None:
    pair = authority.issue("admin", common_name="someone", organization="system:masters")
    run(["openssl", "verify", "-CAfile", authority.pair.certificate, pair.certificate])
    text = describe(pair.certificate)
    assert "CA:FALSE" in text
    assert "O = system:masters, CN = someone" in text
    assert "TLS Web Client Authentication" in text


def test_a_server_answers_under_its_addresses_and_names(authority: Authority) -> None:
    pair = authority.issue("server", common_name="server", addresses=["10.90.0.1"], names=["kubernetes.default"])
    text = describe(pair.certificate)
    assert "IP Address:10.90.0.1" in text
    assert "DNS:kubernetes.default" in text


def test_another_authority_does_not_verify_it(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue("admin", common_name="someone")
    other = Authority(tmp_path, "front-proxy-ca")
    with pytest.raises(CommandError):
        run(["openssl", "verify", "-CAfile", other.pair.certificate, pair.certificate])


def test_what_exists_is_kept(authority: Authority, tmp_path: Path) -> None:
    first = authority.issue("admin", common_name="someone").certificate.read_text()
    again = Authority(tmp_path, "cluster-ca").issue("admin", common_name="someone").certificate.read_text()
    assert again == first


def test_keys_are_for_their_owner_only(authority: Authority, tmp_path: Path) -> None:
    keys = [authority.pair.key, authority.issue("admin", common_name="x").key, signing_key(tmp_path / "sa.key")]
    assert [key.stat().st_mode & 0o077 for key in keys] == [0, 0, 0]


def test_a_kubeconfig_has_one_context_and_carries_its_certificates(authority: Authority, tmp_path: Path) -> None:
    client = authority.issue("admin", common_name="someone")
    path = write_kubeconfig(
        tmp_path / "admin.kubeconfig",
        context="trireme-unit",
        server="https://127.0.0.1:1",
        authority=authority.pair.certificate,
        client=client,
    )
    content = json.loads(path.read_text())
    assert content["current-context"] == "trireme-unit"
    assert [context["name"] for context in content["contexts"]] == ["trireme-unit"]
    data = content["users"][0]["user"]["client-certificate-data"]
    assert base64.b64decode(data) == client.certificate.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
