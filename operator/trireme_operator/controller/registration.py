"""The APIService of our metrics server: registered while it is wanted and works, taken away when it does harm.

An aggregated API that does not answer holds up the deletion of every namespace of the cluster, and one that hangs slows
kubectl down (docs/autoscaling.md). So:

- It is registered only while a resource wants it, and only when nobody else has registered the group in any version.
- Before that the server has answered at its Service's address, under the authorities in its Secret.
- It is taken away when the API server says for five seconds that it is not available, or does not get discovery
  through to it; when somebody else registers the group; with the last resource that wants it; and when our own
  namespace ends.
- After harm it is registered again with a growing pause.

Its owner is the ClusterRole of the metrics server, so that uninstalling takes it away too.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from trireme_operator.api.labels import FIELD_MANAGER
from trireme_operator.controller.reach import UnreachedError
from trireme_operator.kube import (
    API_SERVICE,
    CLUSTER_ROLE,
    NAMESPACE,
    SECRET,
    Conflict,
    Fence,
    KubeApi,
    KubeError,
    NotFound,
    NotLeading,
    Obj,
)
from trireme_operator.rendering.api_service import (
    CA_KEY,
    METRICS_GROUP,
    METRICS_PATH,
    MetricsService,
    api_service,
    is_of,
)

STEP_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 30.0
"""Between two looks for what was left behind, while nobody wants it."""
HARM_SECONDS: Final = 5.0
FIRST_SECONDS: Final = 10.0
"""A new registration may take so long until the API server has found it available."""
DISCOVERY_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 300.0
PROVEN_SECONDS: Final = 600.0
"""After so long without harm the pause is the first one again."""

AnswersFn = Callable[[MetricsService, str], Awaitable[None]]
"""Asks the server at its Service's address under the authorities (PEM). Raises UnreachedError."""


class Wanted(Protocol):
    """Whether somebody wants the metrics server; nobody knows before all was listed."""

    @property
    def is_known(self) -> bool: ...

    def __call__(self) -> bool: ...


class Discovery(Protocol):
    """What can ask for a path through the API server."""

    async def knows(self, path: str, *, seconds: float) -> bool:
        """See `KubernetesApi.knows`."""
        ...


class Registration:
    """See the module; one a process, and it acts only in the one that may write."""

    def __init__(
        self,
        api: KubeApi,
        discovery: Discovery,
        fence: Fence,
        service: MetricsService,
        *,
        wanted: Wanted,
        answers: AnswersFn,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registered = False
        self._api, self._discovery, self._fence = api, discovery, fence
        self._service = service
        self._wanted = wanted
        self._answers = answers
        self._changed = changed
        self._clock = clock
        self._said = ""
        self._looked = float("-inf")
        self._bad_since: float | None = None
        self._good_since: float | None = None
        self._pause, self._not_before = PAUSE_SECONDS, float("-inf")

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(STEP_SECONDS)
            if not self._fence.is_open or not self._wanted.is_known:
                self._bad_since = self._good_since = None
                continue
            try:
                await self.step()
            except NotLeading:
                continue
            except KubeError as error:
                if self._is_news(str(error)):
                    log = structlog.get_logger()
                    log.warning("The metrics server's registration was not looked at", reason=str(error))

    async def step(self) -> None:
        """Look once, and do what is to be done. Raises KubeError and NotLeading."""
        wanted = self._wanted()
        if not wanted and not self.registered and self._clock() - self._looked < IDLE_SECONDS:
            return
        ours, others = await self._look()
        self._looked = self._clock()
        self.registered = ours is not None
        against = await self._reason_against(others, wanted=wanted)
        if ours is None:
            self._bad_since = self._good_since = None
            if against:
                self._withhold(against)
            elif self._clock() >= self._not_before:
                await self._register()
        elif against:
            await self._withdraw(ours, against)
        else:
            await self._watch_over(ours)

    async def _look(self) -> tuple[Obj | None, list[str]]:
        """Ours, and the names of those that others have registered for the group."""
        found = [obj for obj in await self._api.list(API_SERVICE, None) if obj["spec"].get("group") == METRICS_GROUP]
        ours = next((obj for obj in found if is_of(self._service, obj)), None)
        return ours, sorted(obj["metadata"]["name"] for obj in found if obj is not ours)

    async def _reason_against(self, others: list[str], *, wanted: bool) -> str:
        if not wanted:
            return "no resource is autoscaled on the queue's length"
        if others:
            return f"somebody else serves {METRICS_GROUP}: APIService {', '.join(others)}"
        namespace = await self._api.get(NAMESPACE, "", self._service.namespace)
        return "the operator's namespace is being deleted" if namespace["metadata"].get("deletionTimestamp") else ""

    async def _register(self) -> None:
        try:
            wanted = await self._object()
            await self._answers(self._service, _authorities(wanted))
            await self._api.apply(API_SERVICE, wanted, manager=FIELD_MANAGER, force=False)
        except (UnreachedError, NotFound) as error:
            self._withhold(str(error))
        except Conflict as error:
            self._withhold(f"somebody else was faster: {error}")
        else:
            self.registered = True
            self._said = ""
            structlog.get_logger().info("The metrics server is registered", service=self._service.host)
            self._changed()

    async def _object(self) -> Obj:
        """What is to be registered. Raises UnreachedError while there is no certificate, NotFound without an owner."""
        secret = await self._api.get(SECRET, self._service.namespace, self._service.name)
        encoded = (secret.get("data") or {}).get(CA_KEY)
        if not encoded:
            raise UnreachedError(f"Secret {self._service.namespace}/{self._service.name} has no certificate yet")
        role = await self._api.get(CLUSTER_ROLE, "", self._service.name)
        authorities = base64.b64decode(encoded).decode()
        return api_service(self._service, authorities=authorities, owner_uid=role["metadata"]["uid"])

    async def _watch_over(self, ours: Obj) -> None:
        """Keep it up to date, and count how long it has been doing harm."""
        problem = await self._problem(ours)
        now = self._clock()
        if not problem:
            self._bad_since = None
            if self._good_since is None:
                self._good_since = now
            if now - self._good_since >= PROVEN_SECONDS:
                self._pause = PAUSE_SECONDS
        elif self._bad_since is None:
            self._bad_since = now
        limit = HARM_SECONDS if self._good_since is not None else FIRST_SECONDS
        if problem and self._bad_since is not None and now - self._bad_since >= limit:
            self._not_before = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            await self._withdraw(ours, problem)
            return
        await self._update(ours)

    async def _problem(self, ours: Obj) -> str:
        """Why namespaces would not end now; empty when nothing keeps them."""
        conditions = (ours.get("status") or {}).get("conditions") or []
        said: Obj = next((each for each in conditions if each.get("type") == "Available"), {})
        if said.get("status") != "True":
            return f"it is not available: {said.get('reason', 'Unknown')}: {said.get('message', '')}".rstrip(": ")
        if not await self._discovery.knows(METRICS_PATH, seconds=DISCOVERY_SECONDS):
            return f"no answer to GET {METRICS_PATH} through the API server"
        return ""

    async def _update(self, ours: Obj) -> None:
        """New authorities, and the owner where it was made anew. A Secret or an owner that is gone changes nothing."""
        try:
            wanted = await self._object()
        except (UnreachedError, NotFound):
            return
        if _told(ours) == _told(wanted):
            return
        live = ours["metadata"]
        wanted["metadata"] |= {"uid": live["uid"], "resourceVersion": live["resourceVersion"]}
        try:
            await self._api.apply(API_SERVICE, wanted, manager=FIELD_MANAGER)
        except Conflict:
            return  # it has changed since: the next look tells
        structlog.get_logger().info("The metrics server's registration was brought up to date")

    async def _withdraw(self, ours: Obj, reason: str) -> None:
        try:
            await self._api.delete(API_SERVICE, "", ours["metadata"]["name"], uid=ours["metadata"]["uid"])
        except (NotFound, Conflict):
            return  # gone, or another one by now: the next look tells
        self.registered = False
        self._bad_since = self._good_since = None
        self._said = reason
        structlog.get_logger().info("The metrics server's registration is taken away", reason=reason)
        self._changed()

    def _withhold(self, reason: str) -> None:
        if self._is_news(reason):
            structlog.get_logger().info("The metrics server is not registered", reason=reason)

    def _is_news(self, reason: str) -> bool:
        """Whether it was not said last: it is looked at every other second."""
        before, self._said = self._said, reason
        return reason != before


def _authorities(obj: Obj) -> str:
    return base64.b64decode(obj["spec"]["caBundle"]).decode()


def _told(obj: Obj) -> tuple[Any, ...]:
    owners = obj["metadata"].get("ownerReferences") or []
    return obj["spec"].get("caBundle"), [owner.get("uid") for owner in owners]
