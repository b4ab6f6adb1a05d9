"""May a group start its engine? Answered to the leaders' launchers by every operator, from what each has in its store.

On the same port launchers ask whether they may end one (consents.py).

Nobody proves who he is: the answer is a time and a cause, and nothing is changed by asking. So what a hostile pod may
cost is bounded: connections at a time, their age, and how many are taken up in a second. Who gets no answer in a second
starts (docs/contract.md), so a flood can take the delay from groups that fail, and nothing else.
"""

import asyncio
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from aiohttp import web

from trireme_operator.api import InvalidResource, read
from trireme_operator.api.labels import LABEL_CLUSTER, LWS_LABEL_REVISION
from trireme_operator.controller.consents import Consents
from trireme_operator.controller.failures import Past, recall
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.store import Store
from trireme_operator.controller.times import timestamp
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, POD
from trireme_operator.planning import History, RestartPolicy, restart_policy

MAX_CONNECTIONS = 64
CONNECTION_SECONDS = 2.0
BURST = 2000
"""Connections that are taken up at once: a thousand groups may come back together, to either of two operators."""
RATE = 200.0
"""Connections in a second after that."""
_AFTER_ERROR_SECONDS = 0.1

_PATH = re.compile(
    r"/v1/(?P<what>permit|end)/(?P<namespace>[a-z0-9-]{1,63})/(?P<lws>[a-z0-9-]{1,63})/(?P<group>[0-9]{1,4})"
)
_REMEMBERED = 1024


class Permits:
    """The answers. `clock` gives the wall-clock time in UTC."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._read: OrderedDict[tuple[str, str], tuple[Any, History, RestartPolicy]] = OrderedDict()

    def answer(self, namespace: str, name: str, group: int) -> dict[str, Any]:
        """As docs/contract.md has it. Whoever is not known, or never failed, may start."""
        found = self._look(namespace, name)
        if found is None:
            return {"start": True}
        history, policy = found
        past = Past(name, history, policy, int(self._clock().timestamp()))
        if group not in history.groups:
            return {"start": True}
        allowed = past.permit(group, self._revision(namespace, f"{name}-{group}"))
        if allowed.until is None:
            return {"start": True}
        failure = history.of(group)
        cause = "" if failure is None else failure.cause
        return {"start": False, "until": timestamp(allowed.until), "failures": allowed.failures, "cause": cause}

    def _look(self, namespace: str, name: str) -> tuple[History, RestartPolicy] | None:
        """What is remembered and wanted; read again only when one of the two objects has changed."""
        where = (namespace, name)
        version, owner = self._store.stamp(LEADER_WORKER_SET, where)
        if owner is None:
            return None
        stamp = (version, owner, self._store.stamp(INFERENCE_CLUSTER, (owner.namespace, owner.name))[0])
        known = self._read.get(where)
        if known is None or known[0] != stamp:
            live = self._store.get(LEADER_WORKER_SET, where) or {"metadata": {}}
            resource = live["metadata"].get("labels", {}).get(LABEL_CLUSTER, owner.name)
            known = stamp, recall(live), self._policy(namespace, resource)
            self._read[where] = known
            if len(self._read) > _REMEMBERED:
                self._read.popitem(last=False)
        return known[1], known[2]

    def _policy(self, namespace: str, name: str) -> RestartPolicy:
        raw = self._store.get(INFERENCE_CLUSTER, (namespace, name))
        try:
            return restart_policy(None if raw is None else read(raw).spec.restarts)
        except InvalidResource:
            return restart_policy(None)

    def _revision(self, namespace: str, leader: str) -> str:
        pod = self._store.get(POD, (namespace, leader)) or {"metadata": {}}
        return str((pod["metadata"].get("labels") or {}).get(LWS_LABEL_REVISION, ""))


@dataclass
class Pace:
    """Lets `burst` pass at once and `rate` a second after that. `clock` is monotonic, in seconds."""

    rate: float = RATE
    burst: int = BURST
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._left = float(self.burst)
        self._since = self.clock()

    def take(self) -> float:
        """Seconds that the next one has to wait."""
        now = self.clock()
        self._left = min(float(self.burst), self._left + (now - self._since) * self.rate) - 1
        self._since = now
        return max(0.0, -self._left / self.rate)


class PermitServer:
    """`GET /v1/permit|end/{namespace}/{lws}/{group}` on all addresses, one answer a connection."""

    def __init__(
        self,
        permits: Permits,
        consents: Consents,
        store: Store,
        metrics: Metrics,
        *,
        port: int,
        pace: Pace | None = None,
    ) -> None:
        """Bind at once, so that an address in use is known before anything starts; raises OSError."""
        self._permits = permits
        self._consents = consents
        self._ready = store.ready
        self._metrics = metrics
        self._pace = pace or Pace()
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        self._listening = socket.create_server(("", port), family=family, backlog=256, dualstack_ipv6=dual)
        self._listening.setblocking(False)  # noqa: FBT003 - the method's own signature

    async def run(self) -> None:
        """For ever."""
        server = web.Server(self._answer, access_log=None, lingering_time=0, keepalive_timeout=0)
        with self._listening:
            try:
                while True:
                    while len(server.connections) >= MAX_CONNECTIONS:  # noqa: ASYNC110 - nobody tells of an end
                        await asyncio.sleep(0.01)
                    await asyncio.sleep(self._pace.take())
                    await self._take_up(server)
            finally:
                await server.shutdown(0)

    async def _take_up(self, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = await loop.sock_accept(self._listening)
            transport, _ = await loop.connect_accepted_socket(server, connection)
        except OSError as error:
            structlog.get_logger().warning("A connection was not taken up", reason=str(error))
            await asyncio.sleep(_AFTER_ERROR_SECONDS)
        else:
            loop.call_later(CONNECTION_SECONDS, transport.abort)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = self._response(request)
        response.force_close()
        return response

    def _response(self, request: web.BaseRequest) -> web.Response:
        match = _PATH.fullmatch(request.path)
        if request.method != "GET" or match is None:
            self._metrics.permits.labels("bad").inc()
            return web.Response(status=404, text="GET /v1/permit/{namespace}/{lws}/{group}, or /v1/end/...\n")
        if not self._ready.is_set():
            self._metrics.permits.labels("unready").inc()
            return web.Response(status=503, text="not everything was listed yet\n")
        where = match["namespace"], match["lws"], int(match["group"])
        if match["what"] == "end":
            return self._consent(self._consents.answer(*where))
        answer = self._permits.answer(*where)
        self._metrics.permits.labels("start" if answer["start"] else "wait").inc()
        return web.json_response(answer)

    def _consent(self, answer: dict[str, Any] | None) -> web.Response:
        if answer is None:
            self._metrics.permits.labels("standby").inc()
            return web.Response(status=503, text="another operator holds the Lease\n")
        self._metrics.permits.labels("end" if answer["end"] else "stay").inc()
        return web.json_response(answer)
