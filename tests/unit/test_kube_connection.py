"""Where the credentials come from."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from kubernetes.aio.config import ConfigException

from trireme_operator.kube import NODE, KubernetesApi, connect

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


class Answering:
    """A server that answers when it may, and counts its connections."""

    def __init__(self) -> None:
        self.open = 0
        self.may = asyncio.Event()
        self.may.set()
        self.asked = asyncio.Event()
        self.but_one = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                if not self.may.is_set():
                    self.asked.set()
                await self.may.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        self.open -= 1
        if self.open == 1:
            self.but_one.set()
        writer.close()


async def test_connections_without_a_request_are_closed_when_asked(tmp_path: Path) -> None:
    answering = Answering()
    server = await asyncio.start_server(answering, "127.0.0.1", 0)
    file = tmp_path / "config"
    file.write_text(KUBECONFIG.replace("127.0.0.1:1", f"127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    api = KubernetesApi(await connect(file))
    api.close_idle()  # before the first request there is nothing to close
    await asyncio.gather(*(api.get(NODE, "", f"node-{number}") for number in range(8)))
    assert answering.open == 8
    answering.may.clear()
    late = asyncio.create_task(api.get(NODE, "", "late"))
    async with asyncio.timeout(5):
        await answering.asked.wait()
        api.close_idle()
        await answering.but_one.wait()
    answering.may.set()
    assert await late == {}, "a request under way is left alone"
    assert await api.get(NODE, "", "again") == {}
    await api.close()
    server.close()


async def test_without_one_only_the_pods_own_account_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ".kube"
    home.mkdir()
    (home / "config").write_text(KUBECONFIG)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigException, match="Service host"):
        await connect(None)
