"""A feed: listed once, then watched, and from where the next stream begins."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import kopf
import pytest
from kopf._cogs.clients.errors import APIError

from tests.unit.controller_samples import NAMESPACE
from tests.unit.fake_kube import FakeKube
from tests.unit.stores import ignored
from tests.unit.test_controller_store import KEY, service
from trireme_operator.controller import feed as module
from trireme_operator.controller.feed import Feed, selector, stream_settings
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD,
    SERVICE,
    Forbidden,
    Kind,
    Obj,
    ServerError,
    Unreachable,
)

SERVICES = Stream(SERVICE, None)
Event = dict[str, Any]


def bookmark(version: int) -> Event:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


def event(kind: str, obj: Obj) -> Event:
    return {"type": kind, "object": obj}


GONE: Event = {"type": "ERROR", "object": {"code": 410}}


class Streams:
    """Stands for kopf's `watch_objs`: each stream says (or does) what it is told and ends; then there is silence."""

    def __init__(self, *streams: list[Any] | Exception) -> None:
        self.since: list[str] = []
        self.over = asyncio.Event()
        self.held: list[Event] = []
        """Each of them as kopf would hold it until the next one."""
        self._streams = list(streams)

    async def __call__(self, *, since: str, **_: Any) -> AsyncIterator[Event]:
        self.since.append(since)
        if not self._streams:
            self.over.set()
            await asyncio.Event().wait()
        stream = self._streams.pop(0)
        if isinstance(stream, Exception):
            raise stream
        for item in stream:
            if callable(item):
                item()
            else:
                self.held.append(dict(item))
                yield self.held[-1]


class Fed:
    """A feed of Services over a fake API."""

    def __init__(self) -> None:
        self.kube = FakeKube()
        self.store = Store([SERVICES], ignored)
        self.saw: list[str] = []
        self.feed = Feed(SERVICES, self.kube, self.store, lambda kind, event: self.saw.append(event))

    async def run(self, streams: Streams, until: Callable[[], bool] | None = None) -> None:
        task = asyncio.create_task(self.feed.run())
        async with asyncio.timeout(5):
            while not (until() if until is not None else streams.over.is_set()):
                await asyncio.sleep(0.001)
                if task.done():
                    break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and task.exception() is not None:
            raise task.exception() or AssertionError

    def names(self) -> set[str]:
        return set(self.store.children(KEY).of(SERVICE))


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Fed:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.002)
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.002)
    return Fed()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Streams]:
    def play(*streams: list[Any] | Exception) -> Streams:
        played = Streams(*streams)
        monkeypatch.setattr(module, "watch_objs", played)
        return played

    return play


async def test_what_is_listed_and_what_comes_is_kept(fed: Fed, play: Callable[..., Streams]) -> None:
    fed.kube.add(SERVICE, service(50, name="listed", uid="l"))
    streams = play([event("ADDED", service(60, name="came", uid="c")), bookmark(70)])
    await fed.run(streams)
    assert fed.names() == {"listed", "came"}
    assert fed.saw == ["ADDED"]


async def test_of_the_last_event_of_a_quiet_stream_nothing_is_kept(fed: Fed, play: Callable[..., Streams]) -> None:
    streams = play([event("ADDED", service(version=11)), bookmark(12)])
    await fed.run(streams)
    assert streams.held == [{"type": "ADDED"}, {"type": "BOOKMARK"}]
    assert fed.names()


async def test_a_stream_begins_where_the_last_event_was_and_not_where_bookmarks_say(
    fed: Fed, play: Callable[..., Streams]
) -> None:
    streams = play([event("ADDED", service(60)), bookmark(90)], [bookmark(120)], [bookmark(150)], [bookmark(180)])
    await fed.run(streams)
    first, *later = streams.since
    assert int(first) < 60
    assert later == ["60", "90", "120", "150"], "a silent stream is repeated from where it began"


async def test_a_version_that_is_too_old_is_listed_anew_and_what_went_meanwhile_is_gone(
    fed: Fed, play: Callable[..., Streams]
) -> None:
    fed.kube.add(SERVICE, service(3, name="went", uid="w"))
    fed.kube._numbers = iter(range(100, 10_000))  # type: ignore[assignment]

    def goes() -> None:
        del fed.kube.objects[SERVICE, NAMESPACE, "went"]

    await fed.run(play([goes, GONE]))
    assert fed.names() == set()


async def test_a_kind_that_is_not_served_is_asked_for_until_it_is(fed: Fed, play: Callable[..., Streams]) -> None:
    fed.kube.unserved = {SERVICE}
    streams = play([])
    await fed.run(streams, until=lambda: fed.store.children(KEY).missing == {SERVICE})
    fed.kube.unserved = set()
    await fed.run(streams)
    assert fed.store.is_read(SERVICES)


async def test_a_kind_that_may_not_be_listed_is_refused_until_it_may(fed: Fed, play: Callable[..., Streams]) -> None:
    fed.kube.fail = lambda verb, kind, name: Forbidden("no", status=403)
    streams = play([])
    await fed.run(streams, until=lambda: bool(fed.store.children(KEY).refused))
    assert not fed.store.is_read(SERVICES)
    fed.kube.fail = lambda verb, kind, name: None
    await fed.run(streams)
    assert fed.store.is_read(SERVICES)


@pytest.mark.parametrize("kind", [HTTP_ROUTE, LEADER_WORKER_SET])
async def test_only_an_optional_kind_that_is_broken_from_the_start_holds_up_nothing(
    fed: Fed, play: Callable[..., Streams], kind: Kind
) -> None:
    stream = Stream(kind, None)
    store = Store([stream], lambda _: None)
    fed.kube.fail = lambda verb, kind, name: ServerError("conversion webhook failed", status=500)
    feed = Feed(stream, fed.kube, store, lambda *_: None)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            await feed.run()
    assert store.ready.is_set() is (kind == HTTP_ROUTE)
    assert set(store.children(KEY).refused) == ({HTTP_ROUTE} if kind == HTTP_ROUTE else set())


async def test_a_kind_that_breaks_later_keeps_what_was_read(fed: Fed) -> None:
    stream = Stream(HTTP_ROUTE, None)
    store = Store([stream], lambda _: None)
    store.listed(stream, (), 1)
    store.set_aside(stream, ServerError("conversion webhook failed", status=500))
    assert store.is_read(stream)


async def test_a_stream_that_fails_is_listed_anew(fed: Fed, play: Callable[..., Streams]) -> None:
    streams = play(APIError("no", status=500, headers={}), OSError("reset"), [])
    await fed.run(streams)
    assert len(streams.since) == 4


async def test_after_minutes_without_an_answer_the_process_should_end(
    fed: Fed, play: Callable[..., Streams], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVE_UP_SECONDS", 0.01)
    fed.kube.fail = lambda verb, kind, name: Unreachable("no route")
    with pytest.raises(Unreachable):
        await fed.run(play())


def test_streams_are_selected_on_the_server_and_short() -> None:
    assert selector(INFERENCE_CLUSTER) == ""
    assert selector(POD) == "trireme.dev/cluster"
    for kind in KINDS:
        if kind not in {INFERENCE_CLUSTER, POD}:
            assert selector(kind) == "app.kubernetes.io/managed-by=trireme"
    settings = stream_settings()
    assert settings.watching.server_timeout is not None
    assert settings.watching.client_timeout is not None
    assert settings.watching.server_timeout < settings.watching.client_timeout < 60
    made = Feed(Stream(POD, None), FakeKube(), Store([], ignored), lambda kind, event: None)
    pods = kopf.Resource("", "v1", "pods")
    assert list(made._settings.watching.label_selectors.collect(pods)) == ["trireme.dev/cluster"]
