"""How the operator finds the API server and proves who it is."""

import sys
from pathlib import Path
from typing import Any, cast

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject

from trireme_operator.kube.fence import Fence, tracing

CONNECTIONS = 32
"""Requests at a time; more only wait in the API server instead of here, and each costs memory for its TLS."""
ABANDONED_ARE_ENDED = sys.version_info < (3, 12, 8)
"""For aiohttp's `enable_cleanup_closed`: before that version, asyncio can leave the TLS connection of a request that
was cut off open for ever (https://github.com/python/cpython/pull/118960); later ones warn about the option."""
_KEEPALIVE_SECONDS = 60.0


class _Connector(aiohttp.TCPConnector):
    """aiohttp closes what was idle for too long, and offers no way to ask for it: hence what is private here."""

    def close_idle(self) -> None:
        """Close every connection that no request uses."""
        self._keepalive_timeout = 0.0
        self._cleanup()
        self._keepalive_timeout = _KEEPALIVE_SECONDS


class _Transport(RESTClientObject):  # type: ignore[misc]  # the package has no types
    """Connections that outlive a quiet minute: a handshake takes longer than most requests."""

    def close_idle(self) -> None:
        """Close the connections that no request uses."""
        if self.pool_manager is not None:
            self.pool_manager.connector.close_idle()

    def _create_connector(self) -> aiohttp.TCPConnector:
        return _Connector(
            limit=CONNECTIONS,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            ssl=self.ssl_context,
            enable_cleanup_closed=ABANDONED_ARE_ENDED,
        )


async def connect(kubeconfig: Path | None, *, fence: Fence | None = None) -> ApiClient:
    """A client for the given kubeconfig, else for the pod's own service account.

    A kubeconfig is only used when it was named: the file in a home directory may point anywhere. In a pod the token
    file is read again every minute, because the kubelet rotates it. With a fence, no write leaves while it is closed.
    Proxies of the environment are not used, as kopf's streams use none: to ask for them costs each request two threads.
    Raises `kubernetes.aio.config.ConfigException` when neither is usable.
    """
    configuration = Configuration()
    loader: Any = config
    if kubeconfig is not None:
        await loader.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    else:
        loader.load_incluster_config(client_configuration=configuration)
    if fence is not None:
        configuration.trace_configs = [tracing(fence)]
    configuration.client_session_kwargs = {"trust_env": False}
    client: Any = ApiClient(configuration)
    client.rest_client = _Transport(configuration)
    return cast("ApiClient", client)
