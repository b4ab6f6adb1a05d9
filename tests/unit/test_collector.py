"""The collector on real HTTP: hundreds of launchers, slow and hostile ones among them."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from tests.unit.launchers import WHERE, Launchers, address, document, launchers, target, until
from trireme_operator.collector.client import TIMEOUT_SECONDS, LauncherClient, SilentError
from trireme_operator.collector.collector import NEWS_BURST, NEWS_SECONDS, Collector
from trireme_operator.collector.schedule import OTHER_SECONDS
from trireme_operator.collector.statusz import ANSWER_LIMIT_BYTES, AnswerError
from trireme_operator.collector.targets import Target, Where, target_of
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.queue import KeyedQueue

Obj = dict[str, Any]


# ---- whom it asks ------------------------------------------------------------------------------------------


def pod(worker: int = 0, **changes: Any) -> Obj:
    name = "llm-a-0" + (f"-{worker}" if worker else "")
    owner = {"kind": "StatefulSet", "name": "llm-a-0" if worker else "llm-a", "controller": True}
    found: Obj = {
        "name": name,
        "owners": [owner],
        "ip": "10.1.2.3",
        "phase": "Running",
        "cluster": "llm",
        "group": "0",
    } | changes
    labels = {
        "trireme.dev/cluster": found["cluster"],
        "leaderworkerset.sigs.k8s.io/name": "llm-a",
        "leaderworkerset.sigs.k8s.io/group-index": found["group"],
        "leaderworkerset.sigs.k8s.io/worker-index": str(worker),
    }
    metadata = {"name": found["name"], "namespace": "genai", "uid": "u", "ownerReferences": found["owners"]}
    return {"metadata": metadata | {"labels": labels}, "status": {"phase": found["phase"], "podIP": found["ip"]}}


def test_leaders_and_workers_of_our_sets_are_asked_at_their_own_address() -> None:
    assert target_of(pod()) == Target("u", "10.1.2.3", WHERE, "llm-a", 0, 0)
    worker = target_of(pod(2, ip="fd00::7"))
    assert worker == Target("u", "fd00::7", WHERE, "llm-a", 0, 2)
    assert not worker.leads


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"ip": None}, id="no address yet"),
        pytest.param({"ip": "metadata.internal"}, id="a name"),
        pytest.param({"ip": "169.254.169.254"}, id="the metadata service of a cloud"),
        pytest.param({"ip": "127.0.0.1"}, id="the operator itself"),
        pytest.param({"ip": "::1"}, id="the operator itself, IPv6"),
        pytest.param({"ip": "::ffff:127.0.0.1"}, id="the operator itself, IPv4 inside IPv6"),
        pytest.param({"ip": "::ffff:a9fe:a9fe"}, id="the metadata service, IPv4 inside IPv6"),
        pytest.param({"ip": "0.0.0.0"}, id="any address"),
        pytest.param({"ip": "224.0.0.1"}, id="multicast"),
        pytest.param({"phase": "Pending"}, id="nothing runs yet"),
        pytest.param({"phase": "Failed"}, id="its address may be another's by now"),
        pytest.param({"cluster": ""}, id="no resource"),
        pytest.param({"group": "-1"}, id="an odd group"),
        pytest.param({"group": "\u0661"}, id="digits of another script"),
        pytest.param({"group": "9" * 4000}, id="a huge group"),
        pytest.param({"name": "llm-a-1"}, id="the name of another group"),
        pytest.param({"owners": []}, id="made by hand"),
        pytest.param({"owners": [{"kind": "StatefulSet", "name": "other", "controller": True}]}, id="another set"),
        pytest.param({"owners": [{"kind": "StatefulSet", "name": "llm-a"}]}, id="not controlled"),
        pytest.param({"owners": [{"kind": "Deployment", "name": "llm-a", "controller": True}]}, id="a deployment"),
    ],
)
def test_nothing_else_is_asked(changes: Obj) -> None:
    assert target_of(pod(**changes)) is None


# ---- one read ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def reading(*, timeout_seconds: float = 30.0) -> AsyncIterator[tuple[Launchers, LauncherClient]]:
    """A machine may be too busy for a second, where a test is not about that."""
    async with launchers() as made:
        client = LauncherClient(port=made.port, timeout_seconds=timeout_seconds)
        try:
            yield made, client
        finally:
            await client.close()


async def test_connections_are_kept_and_nothing_is_said_about_the_operator() -> None:
    async with reading() as (made, client):
        made.says(0)
        for _ in range(5):
            assert json.loads(await client.read(address(0)))["stage"] == "Ready"
        assert made.connections[address(0)] == 1
        assert made.asked[address(0)] == 5
        assert set(made.headers[0]) == {"Host", "Accept", "Accept-Encoding", "User-Agent"}


async def test_nobody_there_is_silence() -> None:
    client = LauncherClient(port=1)
    with pytest.raises(SilentError):
        await client.read("127.0.0.1")
    await client.close()


async def _redirect(request: web.Request, here: str) -> web.StreamResponse:
    raise web.HTTPFound(f"http://{address(1)}:{request.url.port}/statusz", headers={"Set-Cookie": "a=b"})


async def _huge(request: web.Request, here: str) -> web.StreamResponse:
    return web.Response(body=b" " * ANSWER_LIMIT_BYTES + json.dumps(document("uid-0")).encode())


async def _endless(request: web.Request, here: str) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 16_384)


BOMB = gzip.compress(b" " * 5_000_000)


async def _bomb(request: web.Request, here: str) -> web.StreamResponse:
    return web.Response(body=BOMB, headers={"Content-Encoding": "gzip"})


async def _heads(request: web.Request, here: str) -> web.StreamResponse:
    return web.Response(headers={f"X-{number}": "x" * 1000 for number in range(200)})


async def _error(request: web.Request, here: str) -> web.StreamResponse:
    return web.json_response(document("uid-0"), status=500)


async def _silent(request: web.Request, here: str) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def _drip(request: web.Request, here: str) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.1)


async def _half(request: web.Request, here: str) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _noise(request: web.Request, here: str) -> web.StreamResponse:
    assert isinstance(request.transport, asyncio.Transport)
    request.transport.write(b"\x00\xff" * 500)
    await asyncio.sleep(30)
    return web.Response()


REFUSED = (_redirect, _huge, _endless, _heads, _error, _noise)
SILENT = (_silent, _drip, _half)


@pytest.mark.parametrize("answer", REFUSED)
async def test_a_hostile_answer_is_refused_before_it_ends(answer: Any) -> None:
    async with reading() as (made, client):
        made.answers[address(0)] = answer
        with pytest.raises(AnswerError):
            await client.read(address(0))
        assert not made.asked[address(1)], "no redirect is followed"


@pytest.mark.parametrize("answer", SILENT)
async def test_an_answer_that_does_not_come_is_silence_after_a_second(answer: Any) -> None:
    async with reading(timeout_seconds=TIMEOUT_SECONDS) as (made, client):
        made.answers[address(0)] = answer
        began = time.monotonic()
        with pytest.raises(SilentError):
            await client.read(address(0))
        assert time.monotonic() - began < 15.0, "a second, on a busy machine; what comes is without end"


async def test_nothing_is_decompressed() -> None:
    async with reading() as (made, client):
        made.answers[address(0)] = _bomb
        assert await client.read(address(0)) == BOMB
    assert len(BOMB) < ANSWER_LIMIT_BYTES


# ---- what it keeps, and whom it tells ------------------------------------------------------------------------


class World:
    """A collector that asks real servers."""

    def __init__(self, made: Launchers, client: LauncherClient) -> None:
        self.made = made
        self.changed: list[Where] = []
        self.outcomes: list[str] = []
        self.clock: Callable[[], float] = time.monotonic
        self.children = {"llm-a"}
        self.collector = Collector(
            client.read,
            self.changed.append,
            belongs=lambda where, set_name: where == WHERE and set_name in self.children,
            outcome=self.outcomes.append,
            clock=lambda: self.clock(),  # noqa: PLW0108 - tests replace it
        )

    def add(self, count: int) -> None:
        for number in range(count):
            self.put(target(number))

    def put(self, each: Target) -> None:
        """As `see`, which takes no pod on a loopback address."""
        self.collector.schedule.put(each, time.monotonic())
        self.collector.asking.wake()

    def stage(self, number: int) -> str | None:
        heard = self.collector.heard(f"uid-{number}")
        return None if heard is None else heard.stage


@asynccontextmanager
async def running(*, timeout_seconds: float) -> AsyncIterator[World]:
    async with reading(timeout_seconds=timeout_seconds) as (made, client):
        world = World(made, client)
        task = asyncio.create_task(world.collector.run())
        yield world
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running(timeout_seconds=TIMEOUT_SECONDS) as world:
        yield world


@pytest.fixture
async def patient() -> AsyncIterator[World]:
    """To which no launcher is silent, however busy the machine is."""
    async with running(timeout_seconds=60) as world:
        yield world


async def test_three_hundred_launchers_are_heard_though_a_third_of_them_is_hostile() -> None:
    """With time enough for each answer that on a busy machine too none but the hostile ones is silent."""
    hostile: tuple[Callable[..., Awaitable[web.StreamResponse]], ...] = (*REFUSED, *SILENT, _bomb)
    good = [number for number in range(300) if number % 3]
    async with running(timeout_seconds=5) as world:
        world.made.each_healthy(300)
        for number in range(0, 300, 3):
            world.made.answers[address(number)] = hostile[number // 3 % len(hostile)]
        world.add(300)
        await until(
            lambda: all(world.stage(number) == "Ready" for number in good), "every good launcher is heard", seconds=90
        )
        await until(lambda: len(world.outcomes) >= 300, "each was asked")
        assert all(world.stage(number) is None for number in range(0, 300, 3))
        assert world.changed == [], "ready launchers are no news"
        assert set(world.outcomes) == {"ok", "silent", "refused"}


async def test_a_change_names_the_resource_once_and_rest_never_does(patient: World) -> None:
    patient.made.says(0, stage="Waiting")
    patient.add(1)
    await until(lambda: patient.changed == [WHERE], "the first stage is news")
    asked_before = patient.made.asked[address(0)]
    await until(lambda: patient.made.asked[address(0)] >= asked_before + 2, "it is asked on")
    assert patient.changed == [WHERE]
    patient.made.says(0, stage="Loading")
    await until(lambda: patient.changed == [WHERE] * 2, "the next stage is news")


async def test_what_was_heard_stays_through_silence_and_goes_with_the_pod(world: World) -> None:
    world.made.says(0, stage="Loading")
    world.add(1)
    await until(lambda: world.stage(0) == "Loading", "it is heard")
    world.made.answers[address(0)] = _half
    await until(lambda: world.collector.silent == 1, "it is silent")
    assert world.stage(0) == "Loading"
    world.collector.forget("uid-0")
    assert world.stage(0) is None


async def test_an_odd_answer_is_told_once_in_the_log(world: World) -> None:
    world.made.says(0)
    world.made.said[address(0)]["stage"] = 5
    with structlog.testing.capture_logs() as logs:
        world.add(1)
        await until(lambda: world.outcomes.count("refused") >= 3, "it is refused")
    assert [line["reason"] for line in logs] == ["stage is not a word"]
    assert logs[0]["pod"] == "llm-a-0"


async def test_a_pod_of_a_set_that_is_not_ours_is_not_asked(world: World) -> None:
    world.made.each_healthy(2)
    world.children.clear()
    world.add(1)
    await asyncio.sleep(0.2)
    assert not world.made.asked
    world.children.add("llm-a")
    await until(lambda: world.stage(0) == "Ready", "it is asked when the set is known")


async def test_a_pod_that_changes_its_mind_each_second_is_soon_heeded_less(world: World) -> None:
    began = time.monotonic()
    world.clock = lambda: began
    each = target(0)
    world.put(each)
    for number in range(100):
        world.made.says(0, stage=("Waiting", "Loading")[number % 2])
        await world.collector._listen(each)
    assert len(world.changed) == NEWS_BURST
    world.clock = lambda: began + NEWS_SECONDS
    await world.collector._listen(each)
    assert len(world.changed) == NEWS_BURST + 1, "the last word is told in the end, though it is no news any more"


async def test_an_error_of_our_own_in_one_read_ends_nothing(world: World) -> None:
    world.made.each_healthy(2)
    heard: list[Where] = []

    def fails(where: Where) -> None:
        heard.append(where)
        raise RuntimeError("odd")

    world.collector._changed = fails
    world.made.says(0, stage="Loading")
    with structlog.testing.capture_logs() as logs:
        world.add(2)
        await until(lambda: world.stage(1) == "Ready", "the other is heard")
        await until(lambda: bool(heard), "it was told")
    assert "Reading a launcher failed" in {line["event"] for line in logs}


# ---- what is told about it -----------------------------------------------------------------------------------


async def test_the_metrics_tell_how_many_are_asked_how_often_and_who_is_silent(world: World) -> None:
    metrics = Metrics(KeyedQueue())
    metrics.watch(world.collector)
    world.made.each_healthy(3)
    world.made.answers[address(2)] = _error
    world.add(3)
    await until(lambda: len(world.outcomes) >= 3, "each was asked")
    value = metrics.registry.get_sample_value
    assert (value("trireme_collector_launchers"), value("trireme_collector_silent")) == (3, 1)
    assert value("trireme_collector_interval_seconds", {"launcher": "sentinel"}) == 1
    assert value("trireme_collector_interval_seconds", {"launcher": "other"}) == OTHER_SECONDS
    oldest = value("trireme_collector_oldest_seconds")
    assert oldest is not None
    assert 0 <= oldest < 20


def test_every_metric_of_the_operator_is_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    metrics = Metrics(KeyedQueue())

    async def nobody(_: str, _question: str = "", /) -> bytes:
        raise SilentError

    metrics.watch(Collector(nobody, lambda _: None, belongs=lambda *_: True))
    names = {family.name + ("_total" if family.type == "counter" else "") for family in metrics.registry.collect()}
    assert {name for name in names if f"`{name}" not in page} == set()
