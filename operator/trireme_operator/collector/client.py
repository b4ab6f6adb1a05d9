"""One GET of a launcher, with every bound that a hostile answer asks for.

No redirect is followed, nothing is decompressed, no cookie is kept, no proxy is used; head and body are bounded, and
after a second whatever came is thrown away.
"""

from __future__ import annotations

import aiohttp

from trireme_operator.collector.statusz import ANSWER_LIMIT_BYTES, AnswerError
from trireme_operator.rendering.engine import LAUNCHER_PORT

TIMEOUT_SECONDS = 1.0
_BUFFER_BYTES = 32 * 1024
_KEEPALIVE_SECONDS = 3.0
"""Longer than a sentinel's interval. An idle connection takes 12 kB, so those of all others are not kept: with 200
reads a second never more than 600 are open."""
_OK = 200


class SilentError(Exception):
    """No answer within the time, or nobody there."""


class LauncherClient:
    """Reads ``/statusz``; connections are kept from one read to the next. To be made within an event loop."""

    def __init__(self, *, port: int = LAUNCHER_PORT, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._port = port
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "trireme-operator"},
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_BUFFER_BYTES,
            max_line_size=1024,
            max_field_size=4096,
            max_headers=32,
        )

    async def read(self, address: str, question: str = "") -> bytes:
        """The body of the answer; with a question, a completion through the Service is asked for (docs/contract.md).

        Raises SilentError and AnswerError.
        """
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{self._port}/statusz" + (f"?canary={question}" if question else "")
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                try:
                    return await _body(response)
                except AnswerError:
                    response.close()  # what is still to come is not waited for
                    raise
        except AnswerError:
            raise
        except (TimeoutError, aiohttp.ClientConnectionError, OSError) as error:
            raise SilentError(type(error).__name__) from None
        except (aiohttp.ClientError, ValueError):
            raise AnswerError("the answer is not HTTP") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.status != _OK:
        raise AnswerError(f"the answer has HTTP status {response.status}")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            raise AnswerError(f"the answer is larger than {ANSWER_LIMIT_BYTES} bytes")
    return bytes(body)
