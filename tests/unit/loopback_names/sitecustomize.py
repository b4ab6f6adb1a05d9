"""Puts the names of a group's pods on loopback addresses: Python imports this at its start when it is on its path.

``LOOPBACK_NAMES`` holds ``name=address`` pairs; every other name is resolved as always.
"""

from __future__ import annotations

import os
import socket
from typing import Any

_NAMES = dict(pair.split("=", 1) for pair in os.environ.get("LOOPBACK_NAMES", "").split(",") if pair)
_resolve = socket.getaddrinfo


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    return _resolve(_NAMES.get(host, host), *args, **kwargs)


socket.getaddrinfo = _getaddrinfo
