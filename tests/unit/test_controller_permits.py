"""May a group start: what the launchers are told, and what it may cost to tell them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.controller_samples import NAMESPACE, pod, resource
from tests.unit.pods import free_port
from trireme_operator.controller import permits as module
from trireme_operator.controller.consents import Consents
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.permits import Pace, Permits, PermitServer
from trireme_operator.controller.queue import KeyedQueue
from trireme_operator.controller.store import KINDS, Store, Stream
from trireme_operator.controller.times import timestamp
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, POD
from trireme_operator.planning.history import Failure, History, encode, remember

NOW = 1_800_000_000
FAILURE = Failure(0, "epoch", "llm-zone-a-0-1", 1, "OOMKilled", NOW - 5, revision="r1", exit_code=137)


class World:
    """A store with one resource and the set of its zone, and the answers that come from it."""

    def __init__(self, *, listed: bool = True, **restarts: int) -> None:
        self.now = NOW
        self.version = 1
        self.store = Store([Stream(kind, None) for kind in KINDS], lambda _: None)
        self.permits = Permits(self.store, clock=lambda: datetime.fromtimestamp(self.now, UTC))
        self.led_for: float | None = 3600.0
        self.consents = Consents(self.store, self, clock=self.permits._clock)
        self.set_restarts(**restarts)
        if listed:
            for stream in self.store.streams:
                names = ["llm"] if stream.kind == INFERENCE_CLUSTER else []
                self.store.listed(stream, {(NAMESPACE, name) for name in names}, 1)

    def _see(self, kind: Any, obj: Any, uid: str) -> None:
        self.version += 1
        obj["metadata"] |= {"uid": uid, "resourceVersion": str(self.version)}
        self.store.see(kind, None, obj)

    def set_restarts(self, **restarts: int) -> None:
        self._see(INFERENCE_CLUSTER, resource(restarts=restarts or None), "ic")

    def remember(self, *failures: Failure) -> None:
        history = History()
        for failure in failures:
            history = remember(history, failure)
        metadata = {
            "name": "llm-zone-a",
            "namespace": NAMESPACE,
            "labels": {"trireme.dev/cluster": "llm"},
            "annotations": {"trireme.dev/history": encode(history)},
        }
        self._see(LEADER_WORKER_SET, {"metadata": metadata, "spec": {}}, "lws")

    def leader(self, revision: str) -> None:
        found = pod("llm-zone-a", 0, 0, ready=False)
        found["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/template-revision-hash"] = revision
        self._see(POD, found, f"leader-{revision}")

    def ask(self, group: int = 0, name: str = "llm-zone-a") -> dict[str, Any]:
        return self.permits.answer(NAMESPACE, name, group)


def test_who_never_failed_or_is_not_known_starts() -> None:
    world = World()
    assert world.ask() == {"start": True}
    world.remember(FAILURE)
    assert world.ask(group=1) == {"start": True}
    assert world.ask(name="other") == {"start": True}


def test_a_group_that_failed_waits_and_is_told_why() -> None:
    world = World(backoffSeconds=60)
    world.remember(FAILURE)
    told = world.ask()
    assert (told["start"], told["failures"], told["cause"]) == (False, 1, "worker 1: OOMKilled (exit 137)")
    assert timestamp(NOW + 55) <= told["until"] <= timestamp(NOW + 55 + 12)
    world.now += 70
    assert world.ask() == {"start": True}


def test_the_limit_of_the_resource_holds_a_group_and_an_edit_of_it_lets_it_go() -> None:
    world = World(limit=2, windowSeconds=600)
    second = Failure(0, "two", "llm-zone-a-0", 0, "EngineExited", NOW, revision="r1", exit_code=1)
    world.remember(FAILURE, second)
    assert world.ask() == {
        "start": False,
        "until": timestamp(NOW - 5 + 600),
        "failures": 2,
        "cause": "leader: EngineExited (exit 1)",
    }
    world.set_restarts(limit=0, backoffSeconds=0)
    assert world.ask() == {"start": True}


def test_a_new_template_starts_at_once() -> None:
    world = World()
    world.remember(FAILURE)
    world.leader("r1")
    assert not world.ask()["start"]
    world.leader("r2")
    assert world.ask() == {"start": True}


def test_what_was_thrown_away_holds_nobody() -> None:
    world = World()
    world.remember(FAILURE)
    assert not world.ask()["start"]
    world.remember()
    assert world.ask() == {"start": True}


def test_the_pace_lets_a_burst_pass_and_then_so_many_a_second() -> None:
    now = 0.0
    pace = Pace(rate=10, burst=3, clock=lambda: now)
    assert [pace.take() for _ in range(5)] == [0, 0, 0, pytest.approx(0.1), pytest.approx(0.2)]
    now = 100.0
    assert [pace.take() for _ in range(4)] == [0, 0, 0, pytest.approx(0.1)], "what was not used is not saved up"


# ---- over the network ----------------------------------------------------------------------------------------------


class Served:
    """The endpoint on a port of its own."""

    def __init__(self, world: World, pace: Pace | None = None) -> None:
        self.world = world
        self.metrics = Metrics(KeyedQueue())
        self.port = free_port()
        server = PermitServer(world.permits, world.consents, world.store, self.metrics, port=self.port, pace=pace)
        self.task = asyncio.create_task(server.run())

    async def say(self, text: str) -> tuple[int, bytes]:
        """Status and body; 0 when the connection was closed without an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text.encode())
        await writer.drain()
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]) if head else 0), body

    async def get(self, path: str) -> tuple[int, bytes]:
        return await self.say(f"GET {path} HTTP/1.1\r\nHost: permit\r\n\r\n")

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    def count(self, answer: str) -> float | None:
        return self.metrics.registry.get_sample_value("trireme_permits_total", {"answer": answer})


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    world = World()
    world.remember(FAILURE)
    served = Served(world)
    yield served
    await served.stop()


async def test_the_answer_is_json_and_ends_the_connection(served: Served) -> None:
    status, body = await served.get(f"/v1/permit/{NAMESPACE}/llm-zone-a/0")
    assert status == 200
    assert json.loads(body) == served.world.ask()
    status, body = await served.get(f"/v1/permit/{NAMESPACE}/llm-zone-a/7")
    assert (status, json.loads(body)) == (200, {"start": True})
    assert (served.count("wait"), served.count("start")) == (1, 1)


async def test_on_the_same_port_the_holder_of_the_lease_says_whether_a_group_may_be_ended(served: Served) -> None:
    status, body = await served.get(f"/v1/end/{NAMESPACE}/llm-zone-a/1")
    assert (status, json.loads(body)) == (200, {"end": True})
    status, body = await served.get(f"/v1/end/{NAMESPACE}/llm-zone-a/2")
    assert (status, json.loads(body)) == (200, {"end": False, "cause": "group 1 of the zone is being ended"})
    served.world.led_for = None
    assert (await served.get(f"/v1/end/{NAMESPACE}/llm-zone-a/1"))[0] == 503
    assert (served.count("end"), served.count("stay"), served.count("standby")) == (1, 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/permit/a/b/c HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /v1/permit/a/{'b' * 64}/0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/permit/../b/0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/permit/a/b/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n",
        "\x00\x01\x02\r\n\r\n",
        f"GET /{'x' * 20000} HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_nothing_else_is_answered(served: Served, text: str) -> None:
    status, _ = await served.say(text)
    assert status in {0, 400, 404}
    assert (await served.get(f"/v1/permit/{NAMESPACE}/llm-zone-a/0"))[0] == 200


async def test_an_operator_that_has_not_listed_everything_says_so() -> None:
    served = Served(World(listed=False))
    assert (await served.get(f"/v1/permit/{NAMESPACE}/llm-zone-a/0"))[0] == 503
    await served.stop()


async def test_connections_that_say_nothing_are_closed_and_others_get_their_turn(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTION_SECONDS", 0.3)
    mute = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(module.MAX_CONNECTIONS + 20)]
    started = time.monotonic()
    assert (await served.get(f"/v1/permit/{NAMESPACE}/llm-zone-a/0"))[0] == 200
    assert time.monotonic() - started < 5
    for _, writer in mute:
        writer.close()


async def test_a_flood_is_taken_up_at_the_pace() -> None:
    world = World()
    served = Served(world, Pace(rate=50, burst=5))
    started = time.monotonic()
    answers = await asyncio.gather(*(served.get(f"/v1/permit/{NAMESPACE}/llm-zone-a/0") for _ in range(30)))
    assert {status for status, _ in answers} == {200}
    assert time.monotonic() - started >= 24 / 50
    await served.stop()
