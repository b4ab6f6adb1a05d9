"""Who serves the metrics that autoscalers read: the APIServices of the cluster, read and never written here."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trireme_operator.api.labels import MANAGED_BY
from trireme_operator.kube import API_SERVICE, Forbidden, KubeApi, KubeError, Obj

CUSTOM = "custom.metrics.k8s.io"
EXTERNAL = "external.metrics.k8s.io"
RESOURCE = "metrics.k8s.io"
_GROUPS = frozenset({CUSTOM, EXTERNAL, RESOURCE})
_KEPT_SECONDS = 10.0
_REFUSED_SECONDS = 300.0


@dataclass(frozen=True)
class MetricApi:
    """Who has registered one group of metrics: a Service as NAMESPACE/NAME, and what the API server says of it.

    `problem` is empty where it answers.
    """

    service: str
    ours: bool = False
    problem: str = ""


MetricApis = Mapping[str, MetricApi]
"""By group; a group that nobody has registered is not there."""


class MetricApiReader:
    """Reads them at most once in ten seconds: every autoscaled resource asks for the same ones.

    `clock` counts seconds. Where they may not be read, that is asked again after five minutes only.
    """

    def __init__(self, api: KubeApi, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._until = float("-inf")
        self._read: asyncio.Future[MetricApis | None] | None = None

    async def get(self) -> MetricApis | None:
        """None where they may not be read, or the read failed: then nothing is said of them."""
        if self._read is None or self._clock() >= self._until:
            self._until, self._read = self._clock() + _KEPT_SECONDS, asyncio.ensure_future(self._list())
        return await asyncio.shield(self._read)  # others wait for it too, so nobody's end may cancel it

    async def _list(self) -> MetricApis | None:
        try:
            return metric_apis(await self._api.list(API_SERVICE, None))
        except Forbidden:
            self._until = self._clock() + _REFUSED_SECONDS
        except KubeError:
            pass
        return None


def metric_apis(found: list[Obj]) -> MetricApis:
    """By group the version that the autoscalers of the cluster ask: the one of the highest priority."""
    groups: dict[str, MetricApi] = {}
    for obj in sorted(found, key=_priority):
        group = obj["spec"].get("group")
        if group in _GROUPS:
            groups[group] = _told(obj)
    return groups


def _priority(obj: Obj) -> tuple[int, str]:
    return int(obj["spec"].get("versionPriority") or 0), str(obj["metadata"]["name"].split(".", 1)[0])


def _told(obj: Obj) -> MetricApi:
    service = obj["spec"].get("service") or {}
    labels = obj["metadata"].get("labels") or {}
    said = {item.get("type"): item for item in (obj.get("status") or {}).get("conditions") or []}
    available = said.get("Available") or {}
    problem = ""
    if available.get("status") != "True":
        problem = f"{available.get('reason') or 'Unknown'}: {available.get('message') or 'nobody has asked it yet'}"
    return MetricApi(
        service=f"{service.get('namespace', '')}/{service.get('name', '')}",
        ours=labels.get(MANAGED_BY[0]) == MANAGED_BY[1],
        problem=problem,
    )
