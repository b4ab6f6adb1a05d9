"""Puts the names of a group's pods on loopback addresses: Python imports this at its start when it is on its path.

``LOOPBACK_NAMES`` holds ``name=address`` pairs; every other name is resolved as always. While there is a file at
``LOOPBACK_NAMES_OUTAGE`` these names are not answered: they hang for the seconds that it holds, and then fail.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

_NAMES = dict(pair.split("=", 1) for pair in os.environ.get("LOOPBACK_NAMES", "").split(",") if pair)
_resolve = socket.getaddrinfo


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    outage = os.environ.get("LOOPBACK_NAMES_OUTAGE", "")
    if host in _NAMES and outage and Path(outage).exists():
        time.sleep(float(Path(outage).read_text()))
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _resolve(_NAMES.get(host, host), *args, **kwargs)


socket.getaddrinfo = _getaddrinfo
