"""What the server serves with, kept up to date: its certificate in the Secret, and whom it serves."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from trireme_operator.kube import CONFIG_MAP, SECRET, Conflict, KubeApi, KubeError, NotFound, Obj
from trireme_operator.metricsapi import certificates, front_proxy
from trireme_operator.metricsapi.certificates import Serving
from trireme_operator.metricsapi.front_proxy import FrontProxy, NoFrontProxyError
from trireme_operator.rendering.api_service import MetricsService

LOOK_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 1.0
"""While what is served is not good: nothing yet, or a certificate that has ended."""
_MANAGER: Final = "trireme-metrics"


@dataclass(frozen=True, slots=True)
class Identity:
    """The certificate to serve, and the client to be served."""

    serving: Serving
    proxy: FrontProxy


class Keeper:
    """Looks, writes what is due, and hands over what has changed. `now` is the wall clock, in UTC."""

    def __init__(
        self,
        api: KubeApi,
        service: MetricsService,
        use: Callable[[Serving, FrontProxy], Awaitable[None]],
        *,
        now: Callable[[], datetime],
    ) -> None:
        self.current: Identity | None = None
        self._api = api
        self._service = service
        self._use = use
        self._now = now
        self._said = ""

    async def run(self) -> None:
        """For ever. What was good goes on being served while the API server can't be asked, or refuses a renewal."""
        while True:
            try:
                found = await self.look()
            except (KubeError, NoFrontProxyError) as error:
                self._warn(error, step="look")
            else:
                await self._take(found)
            await asyncio.sleep(self._pause())

    async def _take(self, found: Identity) -> None:
        if found != self.current:
            await self._use(found.serving, found.proxy)
            self.current = found
            until = found.serving.ends.isoformat()
            structlog.get_logger().info("Serving", host=self._service.host, until=until)

    def _pause(self) -> float:
        """Seconds until the next look: not later than the end of what is served."""
        left = 0.0 if self.current is None else (self.current.serving.ends - self._now()).total_seconds()
        return min(LOOK_SECONDS, max(RETRY_SECONDS, left))

    async def look(self) -> Identity:
        """Read both, and renew the certificate where that is due. Raises KubeError and NoFrontProxyError.

        A renewal that is refused is no reason not to serve what is good for weeks.
        """
        proxy = front_proxy.read(await self._api.get(CONFIG_MAP, front_proxy.NAMESPACE, front_proxy.NAME))
        while True:
            secret = await self._api.get(SECRET, self._service.namespace, self._service.name)
            data, host = decoded(secret), self._service.host
            changes = certificates.due(data, host=host, now=self._now())
            found = certificates.serving(data, host=host, now=self._now())
            if changes is None:
                self._said = ""
                if found is not None:
                    return Identity(found, proxy)
                continue  # it ended between two looks at the clock
            try:
                await self._write(secret, changes)
            except Conflict:
                await asyncio.sleep(RETRY_SECONDS)  # another server did it
            except KubeError as error:
                if found is None:
                    raise
                self._warn(error, step="renewal")
                return Identity(found, proxy)

    def _warn(self, error: Exception, *, step: str) -> None:
        """Once for each reason: it is tried every second while nothing good is served."""
        reason = _way_out(error, self._service)
        if reason != self._said:
            until = None if self.current is None else self.current.serving.ends.isoformat()
            structlog.get_logger().warning(
                "The serving certificate stays as it is", step=step, reason=reason, until=until
            )
        self._said = reason

    async def _write(self, secret: Obj, changes: dict[str, str | None]) -> None:
        wanted = {"resourceVersion": secret["metadata"]["resourceVersion"]}
        where = {"namespace": self._service.namespace, "name": self._service.name}
        data = {key: text and base64.b64encode(text.encode()).decode() for key, text in changes.items()}
        patch = {"apiVersion": "v1", "kind": "Secret", "metadata": where | wanted, "data": data}
        await self._api.merge(SECRET, patch, manager=_MANAGER)
        structlog.get_logger().info("Certificates were renewed", keys=sorted(changes))


def decoded(secret: Obj) -> dict[str, str]:
    """The data of a Secret as text; what is no text is passed over."""
    found = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found


def _way_out(error: Exception, service: MetricsService) -> str:
    if isinstance(error, NotFound):
        return f"{error}; the chart makes Secret {service.namespace}/{service.name}, empty: make it anew"
    return str(error)
