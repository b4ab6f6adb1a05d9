"""Which leaders have a value: what an autoscaler is told, and what it is not told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.launchers import until
from trireme_operator.collector.client import SilentError
from trireme_operator.collector.statusz import AnswerError
from trireme_operator.kube import Page, Unreachable
from trireme_operator.metricsapi.feed import SELECTOR, Feed
from trireme_operator.metricsapi.leaders import Leaders
from trireme_operator.metricsapi.scrape import FRESH_SECONDS, Scraper, queue_length
from trireme_operator.metricsapi.selectors import SelectorError, parse
from trireme_runtime import metrics as launcher
from trireme_runtime.stage import Stage

Obj = dict[str, Any]


def pod(group: int = 0, *, worker: int = 0, name: str = "llm-a", ip: str = "", uid: str = "", **labels: str) -> Obj:
    leader = f"{name}-{group}"
    owner = {"kind": "StatefulSet", "name": leader if worker else name, "controller": True}
    lws = "leaderworkerset.sigs.k8s.io/"
    return {
        "metadata": {
            "name": f"{leader}-{worker}" if worker else leader,
            "namespace": "genai",
            "uid": uid or f"uid-{name}-{group}-{worker}",
            "resourceVersion": "7",
            "ownerReferences": [owner],
            "labels": {
                "trireme.dev/cluster": "llm",
                f"{lws}name": name,
                f"{lws}group-index": str(group),
                f"{lws}worker-index": str(worker),
            }
            | labels,
        },
        "status": {"phase": "Running", "podIP": ip or f"10.0.0.{group + 1}"},
    }


def said(queue: int | None, *, stage: Stage = Stage.READY, name: str = "llm-a-0") -> bytes:
    """What a real launcher's /metrics says."""
    return launcher.text(info={"pod": name}, stage=stage, engine_healthy=True, queue=queue).encode()


# ---- one answer of a launcher ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(said(35), 35, id="a queue"),
        pytest.param(said(0), 0, id="truly idle"),
        pytest.param(said(None), None, id="the engine does not answer"),
        pytest.param(said(4, stage=Stage.LOADING), None, id="it loads"),
        pytest.param(said(4, stage=Stage.DRAINING), None, id="it drains: nobody has to be added for its sake"),
        pytest.param(said(4) + b"inference_queue_length -3\n", 4, id="a negative one is none"),
        pytest.param(said(None) + b"inference_queue_length NaN\n", None, id="not a number is none"),
        pytest.param(said(None) + b"inference_queue_length " + b"9" * 4000, None, id="a huge one is none"),
    ],
)
def test_the_queue_is_taken_from_a_leader_in_rotation(body: bytes, value: int | None) -> None:
    assert queue_length(body, pod="llm-a-0") == value


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", said(3, name="llm-a-1"), b"inference_queue_length 5\n"])
def test_an_answer_of_somebody_else_is_refused(body: bytes) -> None:
    with pytest.raises(AnswerError):
        queue_length(body, pod="llm-a-0")


# ---- selectors ---------------------------------------------------------------------------------------------

LABELS = {"app": "llm", "tier": "gold"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("app=llm", True),
        ("app==llm,tier=gold", True),
        ("app=other", False),
        ("app!=other", True),
        ("zone!=a", True),
        ("app in (llm, other)", True),
        ("app notin (llm)", False),
        ("zone notin (a)", True),
        ("tier", True),
        ("!tier", False),
        ("!zone , app", True),
        ("zone=", False),
    ],
)
def test_selectors_choose_as_the_api_server_does(text: str, holds: bool) -> None:
    assert all(part.holds(LABELS) for part in parse(text)) is holds


@pytest.mark.parametrize("text", ["=", "a=b,", ",a", "a b", "a in b", "a in (b", "a=b=c", "a" * 9000])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse(text)


# ---- freshness ---------------------------------------------------------------------------------------------


def names(
    leaders: Leaders, *, since: float, selector: str = "", name: str | None = None
) -> list[tuple[str, int | None]]:
    found = leaders.fresh("genai", name, parse(selector), since=since)
    return sorted((leader.name, leader.value) for leader in found)


def test_a_leader_without_fresh_data_is_left_out_and_never_0() -> None:
    leaders = Leaders()
    first, second, third = (leaders.see(pod(group)) for group in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    leaders.said(first, 12, 100.0)
    leaders.said(second, 0, 90.0)

    assert names(leaders, since=95.0) == [("llm-a-0", 12)]
    assert names(leaders, since=90.0) == [("llm-a-0", 12), ("llm-a-1", 0)]
    leaders.said(first, None, 101.0)
    assert names(leaders, since=90.0) == [("llm-a-1", 0)], "what it said before it began to drain is over"


def test_the_selector_of_one_zone_and_one_name_choose() -> None:
    leaders = Leaders()
    for name in ("llm-a", "llm-b"):
        target = leaders.see(pod(name=name))
        assert target is not None
        leaders.said(target, 3, 1.0)

    zone = "leaderworkerset.sigs.k8s.io/name=llm-b,leaderworkerset.sigs.k8s.io/worker-index=0"
    assert names(leaders, since=0.0, selector=zone) == [("llm-b-0", 3)]
    assert names(leaders, since=0.0, name="llm-a-0") == [("llm-a-0", 3)]
    assert names(leaders, since=0.0, name="llm-c-0") == []
    assert list(leaders.fresh("elsewhere", None, (), since=0.0)) == []


def test_what_a_former_pod_of_the_name_said_counts_for_nobody() -> None:
    leaders = Leaders()
    before = leaders.see(pod(uid="old"))
    assert before is not None
    leaders.said(before, 9, 1.0)
    leaders.see(pod(uid="new", ip="10.0.0.9"))
    leaders.said(before, 9, 2.0)
    leaders.forget("old")

    assert names(leaders, since=0.0) == []
    assert len(leaders) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"phase": "Failed"}, id="it has failed"),
        pytest.param({"podIP": "169.254.169.254"}, id="an address that nobody may be sent to"),
    ],
)
def test_a_pod_that_can_not_answer_any_more_is_forgotten(change: Obj) -> None:
    leaders = Leaders()
    target = leaders.see(pod())
    assert target is not None
    leaders.said(target, 9, 1.0)
    assert leaders.see(pod() | {"status": pod()["status"] | change}) is None
    assert names(leaders, since=0.0) == []


def test_workers_are_not_asked() -> None:
    assert Leaders().see(pod(worker=1)) is None


# ---- reading -----------------------------------------------------------------------------------------------


async def test_each_leader_is_read_and_a_silent_one_is_stale_after_a_while() -> None:
    now = 0.0
    answers: dict[str, bytes | Exception] = {
        "10.0.0.1": said(5),
        "10.0.0.2": said(7, name="llm-a-1"),
        "10.0.0.3": RuntimeError("a bug"),
    }

    async def read(address: str) -> bytes:
        found = answers[address]
        if isinstance(found, Exception):
            raise found
        return found

    outcomes: list[str] = []
    scraper = Scraper(Leaders(), read, outcome=outcomes.append, clock=lambda: now)
    for group in range(3):
        scraper.see(pod(group))
    task = asyncio.create_task(scraper.run())
    try:
        await until(lambda: scraper.leaders.spoken(since=0.0) == 2, "two leaders were read")
        answers["10.0.0.1"] = SilentError("nobody")
        now = FRESH_SECONDS - 1
        scraper.asking.wake()
        await until(lambda: "silent" in outcomes, "one is silent")
        assert len(names(scraper.leaders, since=scraper.since)) == 2, "one late answer is not the end"
        now = FRESH_SECONDS + 1
        assert names(scraper.leaders, since=scraper.since) == [("llm-a-1", 7)]
        scraper.forget("uid-llm-a-1-0")
        assert names(scraper.leaders, since=scraper.since) == []
    finally:
        task.cancel()


# ---- which pods there are ----------------------------------------------------------------------------------


class Pods:
    """Lists, and streams that end; the last stream stays open."""

    def __init__(self, lists: list[list[Obj]], streams: list[list[tuple[str, Obj]] | Exception]) -> None:
        self.lists, self.streams = lists, streams
        self.since: list[str] = []

    async def pages(self, _kind: object, _namespace: object, *, labels: str) -> Any:
        assert labels == SELECTOR
        yield Page(self.lists.pop(0), "100")

    async def watch(self, *_: object, since: str, **__: object) -> Any:
        self.since.append(since)
        if not self.streams:
            await asyncio.Event().wait()
        stream = self.streams.pop(0)
        if isinstance(stream, Exception):
            raise stream
        for event in stream:
            yield event


def event(kind: str, obj: Obj, version: int) -> tuple[str, Obj]:
    return kind, obj | {"metadata": obj["metadata"] | {"resourceVersion": str(version)}}


async def test_pods_come_and_go_with_the_stream_and_a_silent_one_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trireme_operator.metricsapi.feed.RETRY_SECONDS", 0.0)
    bookmark = ("BOOKMARK", {"metadata": {"resourceVersion": "150"}})
    api = Pods(
        [[pod(0), pod(1)], [pod(2)]],
        [
            [event("DELETED", pod(0), 110), event("ADDED", pod(3), 120)],
            [bookmark],
            [bookmark],
            Unreachable("the stream broke"),
        ],
    )

    async def read(_: str) -> bytes:
        return b""

    scraper = Scraper(Leaders(), read)
    feed = Feed(api, None, scraper)  # type: ignore[arg-type]
    task = asyncio.create_task(feed.run())
    try:
        await until(lambda: len(api.since) == 5, "all streams were opened")
        assert feed.listed.is_set()
        assert api.since == ["100", "120", "120", "150", "100"], "a bookmark counts one stream later"
        assert scraper.leaders.uids() == {"uid-llm-a-2-0"}, "a new list shows who is gone"
        assert len(scraper.schedule) == 1
    finally:
        task.cancel()
