"""A user's connection: found as kubectl finds it, able to edit, and to ask a pod through the API server."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException

from trireme_operator.kube.client import KubernetesApi
from trireme_operator.kube.errors import KubeError, Unreachable, from_response
from trireme_operator.kube.kinds import POD, Kind
from trireme_operator.kube.protocol import Obj

_DEFAULT = "~/.kube/config"
_OK = 200


class _Transport(RESTClientObject):  # type: ignore[misc]  # the package has no types
    """With a request whose answer comes from a pod, which may say anything: bounded, and no redirect is followed.

    The request carries the user's credentials, so where it goes must not be for a pod to choose.
    """

    async def read(self, url: str, headers: dict[str, str], *, limit_bytes: int) -> tuple[int, dict[str, str], bytes]:
        session = self._session()
        way: dict[str, Any] = {"proxy": self.proxy, "proxy_headers": self.proxy_headers or None}
        way |= {"server_hostname": self.configuration.tls_server_name or None}
        body = bytearray()
        asking = session.get(url, headers=headers, allow_redirects=False, auto_decompress=False, **way)
        async with asking as response:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    response.close()
                    break
            return response.status, dict(response.headers), bytes(body[:limit_bytes])

    def _session(self) -> aiohttp.ClientSession:
        """The one that all other requests use."""
        mine: Any = self  # the package has no types
        if mine.pool_manager is None:
            mine.pool_manager = self._create_pool_manager()
        return cast("aiohttp.ClientSession", mine.pool_manager)


class KubeconfigError(KubeError):
    """No kubeconfig is usable; nothing was asked of a cluster."""


class UserApi(KubernetesApi):
    """What the command line needs besides the operator's verbs."""

    async def edit(
        self, kind: Kind, namespace: str, name: str, operations: list[Obj], *, manager: str, dry_run: bool
    ) -> Obj:
        """Change an object by a JSON Patch (RFC 6902); with `dry_run` the server only says what would come of it.

        Raises Invalid when a `test` among the operations fails or the result breaks a rule.
        """
        query = {"fieldManager": manager, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        body: Any = operations
        path = kind.path(namespace, name)
        return await self._call(
            "PATCH", kind, path, query=query, body=body, content_type="application/json-patch+json", is_object=True
        )

    async def ask_pod(
        self, namespace: str, pod: str, port: int, path: str, *, timeout_seconds: float, limit_bytes: int
    ) -> bytes:
        """GET from a pod through the API server's proxy, cut at `limit_bytes`; it takes `get` on pods/proxy.

        Raises Forbidden without that right, ServerError when the API server can't reach the pod, Unreachable when no
        answer came in time, and for another status of the pod what it would mean from the API server.
        """
        what = POD.path(namespace, f"{pod}:{port}").replace("%3A", ":") + f"/proxy/{path}"
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with asyncio.timeout(timeout_seconds):
                _, url, headers, _, _ = await self._client.param_serialize(
                    "GET", what, header_params=headers, auth_settings=["BearerToken"]
                )
                transport: Any = self._client.rest_client
                status, said, body = await transport.read(url, headers, limit_bytes=limit_bytes)
        except (TimeoutError, aiohttp.ClientError, OSError, ConfigException) as error:
            raise Unreachable(f"GET {what}: no answer: {str(error) or type(error).__name__}") from error
        if status != _OK:
            raise from_response(status, body, what=f"GET {what}", headers=said, is_object=True)
        return bytes(body)


@dataclass(frozen=True)
class User:
    """A connection and the namespace that the kubeconfig's context names."""

    api: UserApi
    namespace: str


async def connect_user(kubeconfig: str | None, context: str | None) -> User:
    """Connect as kubectl does: the named file, else those of $KUBECONFIG, else ~/.kube/config; the named context.

    Raises KubeconfigError.
    """
    listed = kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT
    files = _files(listed)
    if not files:
        raise KubeconfigError(f"{listed}: there is no such kubeconfig; name one with --kubeconfig or in $KUBECONFIG")
    configuration = Configuration()
    loader: Any = config
    try:
        loaded = await loader.load_kube_config(
            config_file=files, context=context, client_configuration=configuration, persist_config=False
        )
        inside = loaded.current_context.get("context") or {}
    except (ConfigException, OSError, ValueError) as error:
        raise KubeconfigError(f"kubeconfig {files}: {' '.join(str(error).split())}") from error
    client: Any = ApiClient(configuration)
    client.rest_client = _Transport(configuration)
    return User(UserApi(client), str(cast("dict[str, Any]", inside).get("namespace") or "default"))


def _files(listed: str) -> str:
    """Those of the files that exist, as the loader wants them."""
    found = (Path(file).expanduser() for file in listed.split(os.pathsep) if file)
    return os.pathsep.join(str(file) for file in found if file.exists())
