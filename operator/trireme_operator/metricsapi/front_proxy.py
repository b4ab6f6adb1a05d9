"""Who may ask: the API server alone, which shows the front-proxy client certificate with each request it passes on.

It has authenticated and authorized the user before (kube-apiserver's aggregation layer), so nothing else is checked
here. What certificate that is stands in a ConfigMap that every API server with an aggregation layer writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

NAMESPACE: Final = "kube-system"
NAME: Final = "extension-apiserver-authentication"
_AUTHORITY: Final = "requestheader-client-ca-file"
_NAMES: Final = "requestheader-allowed-names"


class NoFrontProxyError(ValueError):
    """The API server has no aggregation layer, or tells nonsense of it."""


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """The authority that signs the client certificate (PEM), and its possible names; without any, every one is good."""

    authority: str
    names: frozenset[str]

    def admits(self, peer: Mapping[str, Any] | None) -> bool:
        """Whether a peer's certificate, already verified and as `ssl.SSLSocket.getpeercert` gives it, is the one."""
        if not peer:
            return False
        return not self.names or any(name in self.names for name in _common_names(peer))


def read(config_map: Mapping[str, Any]) -> FrontProxy:
    """From the ConfigMap. Raises NoFrontProxyError."""
    data = config_map.get("data") or {}
    authority = data.get(_AUTHORITY)
    if not authority:
        raise NoFrontProxyError(
            f"ConfigMap {NAMESPACE}/{NAME} has no {_AUTHORITY}: start kube-apiserver with"
            " --requestheader-client-ca-file"
        )
    try:
        names = json.loads(data.get(_NAMES) or "[]")
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise NoFrontProxyError(f"{_NAMES} in ConfigMap {NAMESPACE}/{NAME} is no list of names")
    return FrontProxy(str(authority), frozenset(names))


def _common_names(peer: Mapping[str, Any]) -> Iterator[str]:
    for part in peer.get("subject") or ():
        for key, value in part:
            if key == "commonName":
                yield value
