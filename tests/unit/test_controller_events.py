"""Events: what is news, how often it is told, and that nothing depends on them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.fake_kube import FakeKube, error
from trireme_operator.controller.events import BURST, NOTE_LIMIT_BYTES, REFILL_SECONDS, SAME_SECONDS, Recorder
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.news import News, news
from trireme_operator.controller.queue import KeyedQueue
from trireme_operator.kube import EVENT, NotLeading, Obj


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def zone(name: str, ready: int, *, groups: int = 2, message: str | None = None) -> dict[str, Any]:
    return {"name": name, "groups": groups, "readyGroups": ready} | ({"message": message} if message else {})


ACCEPTED = condition("Accepted", "True", "Valid")
REFUSED = condition("Accepted", "False", "InvalidSpec", "spec.model.source: no such scheme")
STABLE = condition("Progressing", "False", "Stable")
FAILING = condition("Progressing", "True", "PodFailing", "zone a, group 0: worker 1: OOMKilled (exit 137)")

CASES = [
    pytest.param({}, {"conditions": [ACCEPTED, STABLE], "zones": [zone("a", 0)]}, [], id="a first status is no news"),
    pytest.param(
        {},
        {"conditions": [REFUSED]},
        [News(warning=True, reason="InvalidSpec", text="spec.model.source: no such scheme")],
        id="refused from the first",
    ),
    pytest.param(
        {"conditions": [ACCEPTED]},
        {"conditions": [condition("Accepted", "False", "NameConflict", "Service llm-http: taken")]},
        [News(warning=True, reason="NameConflict", text="Service llm-http: taken")],
        id="a name that is taken",
    ),
    pytest.param({"conditions": [REFUSED]}, {"conditions": [REFUSED]}, [], id="still refused for the same reason"),
    pytest.param(
        {"conditions": [REFUSED]},
        {"conditions": [ACCEPTED]},
        [News(warning=False, reason="Accepted", text="The resource is accepted")],
        id="accepted after all",
    ),
    pytest.param(
        {"conditions": [STABLE]},
        {"conditions": [FAILING]},
        [News(warning=True, reason="PodFailing", text="zone a, group 0: worker 1: OOMKilled (exit 137)")],
        id="a group fails, with its first cause",
    ),
    pytest.param(
        {"conditions": [STABLE]},
        {"conditions": [condition("Progressing", "True", "RollingOut", "Groups are being replaced in llm-a")]},
        [News(warning=False, reason="RollingOut", text="Groups are being replaced in llm-a")],
        id="a new revision rolls out",
    ),
    pytest.param(
        {"conditions": [STABLE]},
        {"conditions": [condition("Progressing", "True", "NodeMaintenance", "group 0 is out of rotation")]},
        [News(warning=False, reason="NodeMaintenance", text="group 0 is out of rotation")],
        id="a group leaves before its node",
    ),
    pytest.param(
        {"conditions": [STABLE]},
        {"conditions": [condition("Progressing", "True", "Starting", "1 of 2 pods of the group exist")]},
        [],
        id="starting is what everybody expects",
    ),
    pytest.param(
        {"zones": [zone("a", 2), zone("b", 1)]},
        {"zones": [zone("a", 2), zone("b", 0, message="group 0: gone")]},
        [News(warning=True, reason="ZoneLost", text="Zone b has no ready group any more: group 0: gone")],
        id="a zone is lost",
    ),
    pytest.param(
        {"zones": [zone("a", 2)]},
        {"zones": [zone("a", 1)]},
        [],
        id="one group of two is no loss of the zone",
    ),
    pytest.param({"zones": [zone("a", 2)]}, {"zones": [zone("a", 0, groups=0)]}, [], id="scaled to zero as asked for"),
    pytest.param(
        {"zones": [zone("", 0)]},
        {"zones": [zone("", 1)]},
        [News(warning=False, reason="ZoneServing", text="The pool: a group is ready")],
        id="a pool without zones is back",
    ),
    pytest.param(
        {"conditions": [condition("Ready", "False", "Starting")]},
        {"conditions": [condition("Ready", "True", "AllGroupsReady")]},
        [News(warning=False, reason="Ready", text="Every group is ready, and traffic reaches them")],
        id="ready",
    ),
    pytest.param(
        {"conditions": [condition("RoutesProgrammed", "False", "RoutePending", "waits")]},
        {"conditions": [condition("RoutesProgrammed", "False", "GatewayNotFound", "Gateway a/b does not exist")]},
        [News(warning=True, reason="GatewayNotFound", text="Gateway a/b does not exist")],
        id="a gateway that is not there",
    ),
]


@pytest.mark.parametrize(("before", "after", "want"), CASES)
def test_news_is_what_changed_in_the_status(before: Obj, after: Obj, want: list[News]) -> None:
    assert news(before, after) == want
    assert news(after, after) == [], "the same status again is no news"


class Desk:
    """A recorder with time in the hands of the test."""

    def __init__(self) -> None:
        self.kube = FakeKube()
        self.now = 1000.0
        self.metrics = Metrics(KeyedQueue())
        self.recorder = Recorder(
            self.kube,
            self.metrics,
            instance="pod-1",
            now=lambda: datetime.fromtimestamp(self.now, UTC),
            clock=lambda: self.now,
        )

    def say(self, text: str, *, uid: str = "uid-1") -> None:
        raw = {"metadata": {"name": "llm", "namespace": "genai", "uid": uid}, "status": {"conditions": [ACCEPTED]}}
        refused = condition("Accepted", "False", "InvalidSpec", text)
        self.recorder.tell(raw, {"conditions": [refused]})

    async def written(self) -> list[Obj]:
        """Write all that waits; returns every Event that stands."""
        waiting = self.recorder._waiting
        while not waiting.empty():
            await self.recorder.write(*waiting.get_nowait())
        return [obj for (kind, _, _), obj in self.kube.objects.items() if kind == EVENT]

    def dropped(self) -> float:
        return self.metrics.registry.get_sample_value("trireme_events_total", {"result": "dropped"}) or 0


async def test_an_event_is_about_the_resource_and_by_the_operator() -> None:
    desk = Desk()
    desk.say("no")
    (event,) = await desk.written()
    assert event["regarding"] == {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "InferenceCluster",
        "name": "llm",
        "namespace": "genai",
        "uid": "uid-1",
    }
    told = (event["type"], event["reason"], event["note"], event["reportingController"], event["reportingInstance"])
    assert told == ("Warning", "InvalidSpec", "no", "trireme.dev/operator", "pod-1")
    assert event["metadata"]["namespace"] == "genai"
    assert "series" not in event


async def test_the_same_news_soon_after_counts_one_event_up() -> None:
    desk = Desk()
    for _ in range(3):
        desk.say("no")
        desk.now += 70
    (event,) = await desk.written()
    assert event["series"]["count"] == 3
    desk.now += SAME_SECONDS + 1
    desk.say("no")
    assert len(await desk.written()) == 2, "an old one has been forgotten by now"


async def test_a_resource_that_flaps_may_tell_only_so_much_and_no_other_one_pays_for_it() -> None:
    desk = Desk()
    for number in range(50):
        desk.say(f"cause {number}")
    desk.say("another resource", uid="uid-2")
    assert len(await desk.written()) == BURST + 1
    assert desk.dropped() == 50 - BURST
    desk.now += REFILL_SECONDS
    desk.say("later")
    desk.say("and later")
    assert len(await desk.written()) == BURST + 2


@pytest.mark.parametrize("failure", [error(403, "forbidden"), error(500), NotLeading()], ids=["403", "500", "lost"])
async def test_an_event_that_can_not_be_written_is_dropped_without_a_word_to_anybody(failure: Exception) -> None:
    desk = Desk()
    desk.kube.fail = lambda verb, kind, name: failure
    desk.say("no")
    assert await desk.written() == []
    assert desk.dropped() == 1


async def test_a_long_text_is_cut_to_what_the_api_takes() -> None:
    desk = Desk()
    desk.say("ü" * 3000)
    (event,) = await desk.written()
    assert len(event["note"].encode()) <= NOTE_LIMIT_BYTES
    assert event["note"].endswith("...")


async def test_when_nobody_writes_them_events_do_not_pile_up() -> None:
    desk = Desk()
    for number in range(3000):
        desk.say("no", uid=f"uid-{number}")
    assert desk.recorder._waiting.qsize() == 1000
    assert desk.dropped() == 2000
