"""Where the credentials come from."""

from pathlib import Path

import pytest
from kubernetes.aio.config import ConfigException

from trireme_operator.kube import connect

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: secret}}]
"""


async def test_a_named_kubeconfig_is_used(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    client = await connect(file)
    assert client.configuration.host == "http://127.0.0.1:1"
    await client.close()


async def test_without_one_only_the_pods_own_account_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ".kube"
    home.mkdir()
    (home / "config").write_text(KUBECONFIG)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigException, match="Service host"):
        await connect(None)
