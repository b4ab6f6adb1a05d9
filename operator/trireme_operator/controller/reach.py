"""Does our metrics server answer at its Service's address, with a certificate that the API server would accept?"""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver

from trireme_operator.rendering.api_service import MetricsService

ANSWER_SECONDS: Final = 2.0
_OK: Final = 200


class UnreachedError(Exception):
    """No good answer; the message says why, and from where."""


class Reach:
    """Asks, each time over a new connection, as the address and the authorities may have changed.

    `resolver` finds the address of the Service's name: by default the one of the process.
    """

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver

    async def __call__(self, service: MetricsService, authorities: str) -> None:
        """Ask `/readyz`. Raises UnreachedError."""
        url = f"https://{service.host}/readyz"
        try:
            context = ssl.create_default_context(cadata=authorities)
            connector = aiohttp.TCPConnector(ssl=context, resolver=self._resolver, force_close=True)
            limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
            async with (
                aiohttp.ClientSession(connector=connector, timeout=limit, trust_env=False) as session,
                session.get(url, allow_redirects=False) as response,
            ):
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachedError(f"GET {url}: {str(error) or type(error).__name__}") from None
        if status != _OK:
            raise UnreachedError(f"GET {url}: HTTP status {status}")
