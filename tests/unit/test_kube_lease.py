"""The Lease and the fence in time: who may write, until when, by whose clock."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio.client import ApiClient, Configuration

from tests.unit.fake_kube import FakeKube
from trireme_operator.controller.leadership import LOOK_SECONDS, Leadership
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.queue import Key, KeyedQueue
from trireme_operator.kube import (
    LEASE,
    SERVICE,
    Claim,
    Conflict,
    Fence,
    FencedApi,
    Kind,
    KubernetesApi,
    Lease,
    NotLeading,
    Obj,
    Unreachable,
)
from trireme_operator.kube.fence import boot_seconds, tracing
from trireme_operator.kube.lease import DURATION_SECONDS, MARGIN_SECONDS, RENEW_SECONDS

LIMIT = DURATION_SECONDS - MARGIN_SECONDS


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Leases(FakeKube):
    """A version in the request must be the live one; without force nothing that exists is taken."""

    async def apply(
        self, kind: Kind, obj: Obj, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> Obj:
        live = self.objects.get((kind, obj["metadata"]["namespace"], obj["metadata"]["name"]))
        version = obj["metadata"].pop("resourceVersion", None)
        if live is not None and (version != live["metadata"]["resourceVersion"] if version else not force):
            raise Conflict("the object has been modified", status=409)
        return await super().apply(kind, obj, manager=manager, subresource=subresource)


def wall(year: int = 2026) -> dt.datetime:
    return dt.datetime(year, 1, 1, tzinfo=dt.UTC)


def lease(api: FakeKube, identity: str, clock: Clock, *, year: int = 2026) -> Lease:
    return Lease(api, Claim("system", "trireme", identity), now=lambda: wall(year), clock=clock)


async def test_the_holder_is_sure_of_it_for_less_time_than_the_others_wait() -> None:
    clock = Clock()
    first = lease(Leases(), "first", clock)
    assert await first.hold() == clock.now + LIMIT
    assert LIMIT > 2 * RENEW_SECONDS, "one renewal may fail"


async def test_time_counts_from_before_the_renewal_was_asked_for() -> None:
    class Slow(Leases):
        async def apply(self, *args: Any, **kwargs: Any) -> Obj:
            clock.now += 3
            return await super().apply(*args, **kwargs)

    clock = Clock()
    assert await lease(Slow(), "first", clock).hold() == 1000.0 + LIMIT


async def test_another_one_waits_for_the_whole_duration_by_its_own_clock() -> None:
    api, here, there = Leases(), Clock(), Clock(5.0)
    first, second = lease(api, "first", here), lease(api, "second", there, year=1970)
    await first.hold()
    assert await second.hold() is None
    there.now += DURATION_SECONDS - 0.01
    assert await second.hold() is None
    there.now += 0.01
    assert await second.hold() == there.now + LIMIT
    assert await first.hold() is None, "and the first one learns it at its next renewal"
    assert first.holder == "second"


async def test_each_renewal_is_seen_as_a_new_beginning_however_wrong_its_clock_is() -> None:
    api, here, there = Leases(), Clock(), Clock()
    first, second = lease(api, "first", here, year=1999), lease(api, "second", there)
    for _ in range(5):
        await first.hold()
        there.now += DURATION_SECONDS - 1
        assert await second.hold() is None


async def test_a_released_lease_is_free_at_once_and_only_the_holder_releases() -> None:
    api, clock = Leases(), Clock()
    first, second = lease(api, "first", clock), lease(api, "second", clock)
    await first.hold()
    await second.release()
    assert await second.hold() is None
    await first.release()
    assert await second.hold() is not None
    live = api.one(LEASE, "trireme", "system")["spec"]
    assert (live["holderIdentity"], live["leaseTransitions"]) == ("second", 2)


async def test_a_restarted_container_of_the_same_pod_goes_on() -> None:
    api, clock = Leases(), Clock()
    assert await lease(api, "pod-1", clock).hold() is not None
    assert await lease(api, "pod-1", clock).hold() is not None
    assert api.one(LEASE, "trireme", "system")["spec"]["leaseTransitions"] == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 12), st.sampled_from(["hold", "release"])), max_size=40))
def test_never_are_two_of_them_sure_of_it(steps: list[tuple[int, float, str]]) -> None:
    """Three processes with clocks that differ by hours, at any pace."""

    async def run() -> None:
        api, elapsed = Leases(), Clock(0.0)
        clocks = [Clock(offset) for offset in (0.0, 1e4, -1e4)]
        leases = [lease(api, f"id-{number}", clock) for number, clock in enumerate(clocks)]
        sure_until = [0.0, 0.0, 0.0]
        for who, pause, what in steps:
            elapsed.now += pause
            for clock in clocks:
                clock.now += pause
            if what == "release":
                sure_until[who] = 0.0
                await leases[who].release()
            else:
                until = await leases[who].hold()
                sure_until[who] = 0.0 if until is None else elapsed.now + until - clocks[who].now
            assert sum(until > elapsed.now for until in sure_until) <= 1

    asyncio.run(run())


# ---- the fence -------------------------------------------------------------------------------------------


def service(name: str = "a") -> Obj:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "genai"}, "status": {}}


async def test_a_closed_fence_lets_reads_pass_and_no_write() -> None:
    kube, clock = FakeKube(), Clock()
    fence = Fence(clock)
    api = FencedApi(kube, fence)
    kube.add(SERVICE, service())
    assert await api.get(SERVICE, "genai", "a")
    assert await api.list(SERVICE, "genai")
    writes = (
        lambda: api.apply(SERVICE, service(), manager="x"),
        lambda: api.patch_status(SERVICE, service(), manager="x"),
        lambda: api.merge(SERVICE, service(), manager="x"),
        lambda: api.delete(SERVICE, "genai", "a", uid="uid-1"),
    )
    for write in writes:
        with pytest.raises(NotLeading):
            await write()
    fence.open(until=clock.now + 1)
    for write in writes:
        await write()
    assert len(kube.writes) == len(writes)
    clock.now += 1
    with pytest.raises(NotLeading):
        await writes[0]()


def test_the_clock_of_the_fence_goes_on_by_itself() -> None:
    first = boot_seconds()
    assert boot_seconds() > first


@asynccontextmanager
async def server(fence: Fence, seen: list[str], release: asyncio.Event) -> AsyncIterator[KubernetesApi]:
    """A server that answers the first request when it is told to, and a client of one connection."""

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        seen.append(f"{request.method} {request.path.rsplit('/', 1)[1]}")
        await release.wait()
        return web.json_response(service())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    configuration = Configuration(host=f"http://{host}:{port}")
    configuration.connection_pool_maxsize = 1
    configuration.trace_configs = [tracing(fence)]
    api = KubernetesApi(ApiClient(configuration), timeout_seconds=5)
    try:
        yield api
    finally:
        await api.close()
        await runner.cleanup()


async def test_a_write_that_waits_for_a_connection_while_the_lease_is_lost_is_never_sent() -> None:
    fence, seen, release = Fence(Clock()), list[str](), asyncio.Event()
    fence.open()
    async with server(fence, seen, release) as api:
        sent = asyncio.create_task(api.apply(SERVICE, service("sent"), manager="x"))
        while not seen:  # noqa: ASYNC110 - the server is in this loop
            await asyncio.sleep(0.01)
        writes = [asyncio.create_task(api.apply(SERVICE, service(f"late-{n}"), manager="x")) for n in range(3)]
        await asyncio.sleep(0.05)
        fence.close()
        release.set()
        await sent
        for write in writes:
            with pytest.raises(Unreachable):
                await write
        assert await api.get(SERVICE, "genai", "read"), "reads go on"
    assert seen == ["PATCH sent", "GET read"]


# ---- leadership ------------------------------------------------------------------------------------------


class Stage:
    """One operator's part of it, with time in the hands of the test."""

    def __init__(self, api: FakeKube, identity: str, clock: Clock) -> None:
        self.clock = clock
        self.queue = KeyedQueue(clock=clock)
        self.fence = Fence(clock)
        self.metrics = Metrics(self.queue)
        self.lease = lease(api, identity, clock)
        self.leadership = Leadership(self.lease, self.fence, self.queue, self.metrics)

    async def step(self) -> float:
        return await self.leadership.step(self.lease)

    def leads(self) -> bool:
        return self.metrics.registry.get_sample_value("trireme_leader") == 1


async def test_who_waits_collects_keys_and_works_on_all_of_them_later() -> None:
    api, clock = Leases(), Clock()
    first, second = Stage(api, "first", clock), Stage(api, "second", clock)
    assert await first.step() == RENEW_SECONDS
    assert await second.step() == LOOK_SECONDS
    for stage in (first, second):
        stage.queue.add(Key("genai", "a"))
    assert first.queue.take() == Key("genai", "a")
    assert second.queue.take() is None
    clock.now += 400
    assert (second.queue.depth, second.queue.oldest_seconds) == (0, 0.0), "its probe stays well"
    await second.step()
    assert second.leads()
    assert (second.queue.depth, second.queue.oldest_seconds) == (1, 0.0)
    assert second.queue.take() == Key("genai", "a")


async def test_who_can_not_renew_stops_in_time_and_goes_on_when_it_can() -> None:
    api, clock = Leases(), Clock()
    stage = Stage(api, "first", clock)
    await stage.step()
    stage.queue.add(Key("genai", "a"))
    stage.queue.take()
    stage.queue.failed(Key("genai", "a"))
    api.fail = lambda verb, kind, name: Unreachable("no answer")
    clock.now += RENEW_SECONDS
    assert await stage.step() == LOOK_SECONDS
    assert stage.leads(), "the Lease is still sure"
    clock.now += LIMIT - RENEW_SECONDS
    assert not stage.fence.is_open, "whether or not anybody noticed"
    await stage.step()
    assert not stage.leads()
    api.fail = lambda verb, kind, name: None
    await stage.step()
    assert stage.leads()
    assert stage.queue.take() == Key("genai", "a"), "nothing waits for its back-off after that"


async def test_a_lease_that_can_not_be_asked_for_is_told_once_for_each_cause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api, causes = Leases(), iter(["refused", "refused", "refused", "forbidden"])
    api.fail = lambda verb, kind, name: Unreachable(next(causes))
    stage = Stage(api, "first", Clock())
    for _ in range(4):
        await stage.step()
    said = capsys.readouterr().out
    assert (said.count("refused"), said.count("forbidden")) == (1, 1)


async def test_whoever_was_followed_steps_down() -> None:
    api, clock = Leases(), Clock()
    first, second = Stage(api, "first", clock), Stage(api, "second", clock)
    await first.step()
    await second.step()
    clock.now += DURATION_SECONDS
    await second.step()
    await first.step()
    assert (first.leads(), second.leads(), first.fence.is_open) == (False, True, False)


async def test_at_its_end_a_holder_gives_the_lease_back_and_writes_no_more() -> None:
    api, clock = Leases(), Clock()
    first, second = Stage(api, "first", clock), Stage(api, "second", clock)
    await first.step()
    await second.step()
    await first.leadership.resign()
    assert not first.fence.is_open
    assert first.queue.depth == 0
    await second.step()
    assert second.leads()


async def test_the_end_does_not_wait_for_an_api_server_that_is_gone() -> None:
    class Silent(Leases):
        silent = False

        async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
            if self.silent:
                await asyncio.Event().wait()
            return await super().get(kind, namespace, name)

    api = Silent()
    stage = Stage(api, "first", Clock())
    await stage.step()
    api.silent = True
    async with asyncio.timeout(2):
        await stage.leadership.resign()


async def test_alone_an_operator_always_leads() -> None:
    queue = KeyedQueue()
    fence, metrics = Fence(), Metrics(queue)
    leadership = Leadership(None, fence, queue, metrics)
    running = asyncio.create_task(leadership.run())
    await asyncio.sleep(0)
    assert bool(fence.is_open)
    assert metrics.registry.get_sample_value("trireme_leader") == 1
    await leadership.resign()
    assert not fence.is_open
    running.cancel()
