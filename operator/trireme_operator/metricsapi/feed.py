"""The leaders' pods: listed once and then watched.

A stream that has gone silent cannot be told from one on which nothing happens. So each is opened anew after half a
minute, from the last event that really came, or from where the silent stream began.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from trireme_operator.api.labels import LABEL_CLUSTER, LWS_LABEL_WORKER_INDEX
from trireme_operator.kube import POD, KubeError, KubernetesApi, Obj
from trireme_operator.metricsapi.scrape import Scraper

SELECTOR: Final = f"{LABEL_CLUSTER},{LWS_LABEL_WORKER_INDEX}=0"
STREAM_SECONDS: Final = 30
RETRY_SECONDS: Final = 1.0


class Feed:
    """Tells a scraper of the pods in one namespace, or in all (None); `listed` is set when all were seen once."""

    def __init__(self, api: KubernetesApi, namespace: str | None, scraper: Scraper) -> None:
        self.listed = asyncio.Event()
        self._api = api
        self._namespace = namespace
        self._scraper = scraper
        self._uids: set[str] = set()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                version = await self._list()
                self.listed.set()
                await self._follow(version)
            except KubeError as error:
                structlog.get_logger().warning("Watching leaders failed", namespace=self._namespace, reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _list(self) -> str:
        found: set[str] = set()
        version = ""
        async for page in self._api.pages(POD, self._namespace, labels=SELECTOR):
            version = page.version
            for pod in page.items:
                found.add(pod["metadata"]["uid"])
                self._scraper.see(pod)
            await asyncio.sleep(0)  # answers go out between two pages
        for uid in self._uids - found:
            self._scraper.forget(uid)
        self._uids = found
        return version

    async def _follow(self, version: str) -> None:
        """Watch until it fails: every error, an old version among them, is answered by a new list."""
        since = began = version
        while True:
            opened = time.monotonic()
            told, latest = "", began
            async for kind, obj in self._api.watch(
                POD, self._namespace, labels=SELECTOR, since=since, seconds=STREAM_SECONDS
            ):
                latest = str(obj["metadata"]["resourceVersion"])
                if kind != "BOOKMARK":
                    told = latest
                    self._take_in(kind, obj)
            since, began = told or began, latest
            if time.monotonic() - opened < RETRY_SECONDS:
                await asyncio.sleep(RETRY_SECONDS)

    def _take_in(self, kind: str, pod: Obj) -> None:
        uid = str(pod["metadata"]["uid"])
        if kind == "DELETED":
            self._uids.discard(uid)
            self._scraper.forget(uid)
        else:
            self._uids.add(uid)
            self._scraper.see(pod)
