"""Workers and the process: errors of one key stay with it, the end of a part ends everything."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from pathlib import Path

import kopf
import pytest
import structlog

from tests.unit.fake_kube import FakeKube
from trireme_operator import main
from trireme_operator.controller.feed import Feed
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.queue import Key, KeyedQueue
from trireme_operator.controller.store import Store, Stream
from trireme_operator.controller.workers import describe, work
from trireme_operator.environment import ConfigurationError
from trireme_operator.kube import INFERENCE_CLUSTER, POD, SERVICE, Claim, TooManyRequests
from trireme_operator.logs import configure_logs

GOOD, BAD = Key("a", "good"), Key("a", "bad")


async def test_an_error_of_one_key_is_counted_and_the_worker_goes_on() -> None:
    queue = KeyedQueue()
    metrics = Metrics(queue)
    done = asyncio.Event()

    async def reconcile(key: Key) -> float | None:
        if key == BAD:
            busy = TooManyRequests("slow down", status=429, retry_after=60)
            raise ExceptionGroup("children", [busy, ValueError("odd")])
        done.set()
        return None

    worker = asyncio.create_task(work(queue, reconcile, metrics))
    queue.add(BAD)
    queue.add(GOOD)
    async with asyncio.timeout(5):
        await done.wait()
        while GOOD in queue.known():  # noqa: ASYNC110 - the queue has no such event
            await asyncio.sleep(0)
    assert queue.known() == (BAD,), "it waits for its next try"
    value = metrics.registry.get_sample_value
    assert value("trireme_reconcile_total", {"result": "error"}) == 1
    assert value("trireme_reconcile_total", {"result": "gone"}) == 1
    worker.cancel()


async def test_a_server_that_asks_for_time_gets_it() -> None:
    queue = KeyedQueue()
    ran = asyncio.Event()

    async def reconcile(_: Key) -> float | None:
        ran.set()
        raise TooManyRequests("slow down", status=429, retry_after=60)

    worker = asyncio.create_task(work(queue, reconcile, Metrics(queue)))
    queue.add(GOOD)
    async with asyncio.timeout(5):
        await ran.wait()
    await asyncio.sleep(1.0)
    assert queue.depth == 0, "half a second would have passed"
    worker.cancel()


def test_calls_and_events_are_counted_by_what_they_were() -> None:
    metrics = Metrics(KeyedQueue())
    metrics.observe_call("GET", "pods", "200", 0.1)
    metrics.saw("pods", "ADDED")
    value = metrics.registry.get_sample_value
    assert value("trireme_api_requests_total", {"verb": "GET", "kind": "pods", "code": "200"}) == 1
    assert value("trireme_api_request_seconds_count", {"verb": "GET"}) == 1
    assert value("trireme_watch_events_total", {"kind": "pods", "type": "ADDED"}) == 1


def test_describe_says_each_cause_once() -> None:
    group = ExceptionGroup("x", [ValueError("a"), ExceptionGroup("y", [ValueError("a"), KeyError()])])
    assert describe(group) == "a; KeyError"


async def _ends() -> None:
    await asyncio.sleep(0)


async def _fails() -> None:
    await asyncio.sleep(0)
    raise OSError("the watch is gone")


async def _runs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("part", "error"), [(_ends, "ended without an error"), (_fails, "the watch is gone")], ids=["ends", "fails"]
)
async def test_a_part_that_ends_takes_the_others_with_it(part: type[Awaitable[None]], error: str) -> None:
    other = asyncio.ensure_future(_runs())
    with pytest.raises((RuntimeError, OSError), match=error):
        await main._run_until_stopped([part(), other], asyncio.Event(), _ends)
    assert other.cancelled()


async def test_a_stop_is_no_error() -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stopping.set)
    await main._run_until_stopped([_runs(), _runs()], stopping, _ends)


async def test_kopf_is_given_a_name_since_a_containers_user_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    async def spawn(**kwargs: object) -> None:
        given.update(kwargs)
        raise OSError("ended by the test")

    monkeypatch.setattr(kopf, "spawn_tasks", spawn)
    configuration = main.read_configuration({"TRIREME_LAUNCHER_IMAGE": "x"})
    with pytest.raises(OSError, match="ended by the test"):
        await main._watch(configuration, [], _ends, lambda: None, asyncio.Event())
    assert given["identity"], "kopf would ask for the name of the user"
    assert given["standalone"]
    assert given["clusterwide"]


async def test_the_resources_are_listed_first_and_the_rest_after_the_look_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    all_listed = asyncio.Event()

    async def spawn(**_: object) -> list[object]:
        return []

    async def ran(*_: object, **__: object) -> None:
        await _runs()

    async def fed(feed: Feed) -> None:
        done.append(feed.stream.kind.kind)
        if len(done) > len(streams):
            all_listed.set()

    async def look_ahead() -> None:
        await asyncio.sleep(0.01)
        done.append("look ahead")

    monkeypatch.setattr(kopf, "spawn_tasks", spawn)
    monkeypatch.setattr(kopf, "run_tasks", ran)
    monkeypatch.setattr(Feed, "run", fed)
    streams = [Stream(kind, None) for kind in (SERVICE, INFERENCE_CLUSTER, POD)]
    store = Store(streams, lambda _: None)
    feeds = [Feed(stream, FakeKube(), store, lambda *_: None) for stream in store.streams]
    configuration = main.read_configuration({"TRIREME_LAUNCHER_IMAGE": "x"})
    watching = asyncio.ensure_future(main._watch(configuration, feeds, look_ahead, lambda: None, asyncio.Event()))
    async with asyncio.timeout(20):
        await all_listed.wait()
    watching.cancel()
    assert done == ["InferenceCluster", "look ahead", "Service", "Pod"]


def test_the_configuration_is_read_from_the_environment() -> None:
    read = main.read_configuration({"TRIREME_LAUNCHER_IMAGE": "x", "TRIREME_NAMESPACES": "a, b,", "KUBECONFIG": "/k"})
    assert read.settings.launcher_image == "x"
    assert read.namespaces == ("a", "b")
    assert read.kubeconfig == Path("/k")
    assert (read.probe_port, read.metrics_port, read.log_format) == (8080, 9090, "json")
    assert read.claim is None, "alone, unless the installation names a Lease"
    assert read.maintenance_taints == (), "no node is read"


def test_the_taints_of_nodes_in_maintenance_are_read_from_the_environment() -> None:
    environ = {"TRIREME_LAUNCHER_IMAGE": "x", "TRIREME_NODE_MAINTENANCE": "karpenter.sh/disrupted, ToBeDeleted,"}
    assert main.read_configuration(environ).maintenance_taints == ("karpenter.sh/disrupted", "ToBeDeleted")


def test_the_lease_is_held_by_the_pods_name_or_by_one_that_nobody_else_has() -> None:
    environ = {"TRIREME_LAUNCHER_IMAGE": "x", "TRIREME_LEASE": "trireme-system/trireme"}
    assert main.read_configuration(environ | {"TRIREME_IDENTITY": "pod-1"}).claim == Claim(
        "trireme-system", "trireme", "pod-1"
    )
    first, second = (main.read_configuration(environ).claim for _ in range(2))
    assert first is not None
    assert first != second


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRIREME_LAUNCHER_IMAGE", ""),
        ("TRIREME_LAUNCHER_PULL_POLICY", "Sometimes"),
        ("TRIREME_LOG_FORMAT", "xml"),
        ("TRIREME_PROBE_PORT", "99999"),
        ("TRIREME_METRICS_PORT", "http"),
        ("TRIREME_PERMIT_PORT", "0"),
        ("TRIREME_PERMIT_URL", "permit:8081"),
        ("TRIREME_PERMIT_URL", "http://permit:8081/v1"),
        ("TRIREME_LEASE", "trireme-system"),
        ("TRIREME_LEASE", "a/b/c"),
        ("TRIREME_METRICS_API", "trireme-metrics-api"),
        ("TRIREME_NODE_MAINTENANCE", "karpenter.sh/"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is .*{value}"):
        main.read_configuration({"TRIREME_LAUNCHER_IMAGE": "x"} | {name: value})


def test_the_process_says_which_setting_is_bad_and_ends_with_2() -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TRIREME_")}
    environ["PYTHONPATH"] = str(Path(__file__).parents[2] / "operator")
    argv = [sys.executable, "-m", "trireme_operator.main"]
    ended = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "TRIREME_LAUNCHER_IMAGE" in ended.stderr


@pytest.fixture
def _logs_as_in_the_process() -> Iterator[None]:
    """Else structlog draws each of a thousand frames."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logs("json")
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logs_as_in_the_process")
async def test_crashes_of_every_kind_stay_with_their_keys_whatever_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bugs, endless recursion and runs without an end: three times as many as there are workers."""
    monkeypatch.setattr("trireme_operator.controller.workers.RECONCILE_LIMIT_SECONDS", 0.02)
    queue = KeyedQueue()
    metrics = Metrics(queue)
    done: list[Key] = []

    def endless(depth: int = 0) -> int:
        return endless(depth + 1) + 1

    async def reconcile(key: Key) -> float | None:
        if key.name.startswith("good"):
            done.append(key)
            return 100.0
        match key.name.partition("-")[0]:
            case "bug":
                raise KeyError("spec")
            case "deep":
                endless()
            case _:
                await asyncio.Event().wait()
        return None

    tasks = [asyncio.create_task(work(queue, reconcile, metrics)) for _ in range(4)]
    for number in range(4):
        for kind in ("bug", "deep", "hang", "good"):
            queue.add(Key("a", f"{kind}-{number}"))
    async with asyncio.timeout(10):
        while len(done) < 4 or queue.depth:  # noqa: ASYNC110 - the queue has no such event
            await asyncio.sleep(0.01)
    assert all(not task.done() for task in tasks), "every worker works"
    assert queue.oldest_seconds < 1
    for task in tasks:
        task.cancel()
