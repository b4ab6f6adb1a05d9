"""APIs that come and go: kopf watches what is served, and resources wait for nothing that is there.

kopf looks at the server's list of APIs when a CustomResourceDefinition changes, and not again. The server lists a new
API only some time after the definition's last event (seconds, on a busy machine), so kopf can miss it for ever. Here
the APIs that we need are asked for directly, each second for a minute after any of their definitions changed and once
a minute otherwise, and kopf is made to look again when it is not of the same mind. That entry point of kopf is
private, which the pinned version and `tests/integration/test_late_apis.py` make bearable.
"""

import asyncio
from collections.abc import Callable, Sequence

import kopf
import structlog
from kopf._cogs.structs.references import Insights
from kopf._core.reactor.observation import process_discovered_resource_event

from trireme_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    ApiMissing,
    Kind,
    KubeApi,
    KubeError,
    NotFound,
)

NEEDED = (INFERENCE_CLUSTER, LEADER_WORKER_SET, HTTP_ROUTE)
FAST_SECONDS = 1.0
SLOW_SECONDS = 60.0
_FAST_LOOKS = 60
_NO_SUCH_NAME = "trireme-discovery"


class Discovery:
    """Compares which of the `NEEDED` APIs are served with which kopf watches.

    `changed` is called when an API came or went. `namespaces` are those that may be read; empty means all.
    """

    def __init__(
        self,
        api: KubeApi,
        registry: kopf.OperatorRegistry,
        settings: kopf.OperatorSettings,
        *,
        namespaces: Sequence[str],
        changed: Callable[[], None],
    ) -> None:
        self.insights = Insights()
        self._api = api
        self._registry = registry
        self._settings = settings
        self._namespace = namespaces[0] if namespaces else "default"
        self._changed = changed
        self._served: dict[Kind, bool] = {}
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """A definition changed: look often for a while."""
        self._hurry.set()

    async def run(self) -> None:
        """Compare for ever; kopf must have been started from the same task, whose context holds its credentials."""
        await self.insights.ready_resources.wait()
        looks = _FAST_LOOKS
        while True:
            await self.look()
            looks -= 1
            try:
                async with asyncio.timeout(FAST_SECONDS if looks > 0 else SLOW_SECONDS):
                    await self._hurry.wait()
                self._hurry.clear()
                looks = _FAST_LOOKS
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Compare once."""
        for kind in NEEDED:
            served = await self._is_served(kind)
            if served is None:
                continue
            if self._served.setdefault(kind, served) != served:
                self._served[kind] = served
                self._changed()
            if served != self._is_watched(kind):
                structlog.get_logger().info("Looking for an API again", kind=str(kind), served=served)
                await self._rescan(kind)

    async def _is_served(self, kind: Kind) -> bool | None:
        """None when it can't be told now."""
        try:
            await self._api.get(kind, self._namespace, _NO_SUCH_NAME)
        except ApiMissing:
            return False
        except NotFound:
            return True
        except KubeError:
            return None
        return True

    def _is_watched(self, kind: Kind) -> bool:
        return any(
            (resource.group, resource.version, resource.plural) == (kind.group, kind.version, kind.plural)
            for resource in self.insights.watched_resources
        )

    async def _rescan(self, kind: Kind) -> None:
        try:
            await process_discovered_resource_event(
                raw_event={"type": "MODIFIED", "object": {"spec": {"group": kind.group}}},
                settings=self._settings,
                registry=self._registry,
                insights=self.insights,
            )
        except Exception as error:  # noqa: BLE001 - whatever kopf's client raises, the next look asks again
            structlog.get_logger().warning("Looking for an API failed", kind=str(kind), reason=repr(error))
