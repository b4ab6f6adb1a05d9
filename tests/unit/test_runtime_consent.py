"""Who only suspects asks before the group is ended: what each answer, and none, leads to. The clock is the test's."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pod_environment import VARIABLES
from tests.unit.pods import until
from trireme_runtime import consent, environment, fetch
from trireme_runtime.consent import LONGEST_SECONDS, SILENT_SECONDS, Consent, Verdict
from trireme_runtime.termination import Cause

LOST = Cause("MemberLost", "worker 1 has been silent for more than 30 s", pod="m-0-1")
YES, NO = Verdict(end=True), Verdict(end=False, why="group 2 of the zone is being ended")
NOBODY = fetch.UnreachableError("no answer")


class Asked:
    """An operator that answers as it is told, the last answer again and again."""

    def __init__(self, *answers: Verdict | Exception) -> None:
        self.answers = list(answers)
        self.now = 100.0
        self.times: list[float] = []
        self.consent = Consent(self._answer)

    def _answer(self) -> Verdict:
        self.times.append(self.now)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def act_on(self, suspicion: Cause | None = LOST) -> Cause | None:
        """What may be acted on, once the answer to what was asked has come."""
        cause = self.consent.act_on(suspicion, self.now)
        question = self.consent._question
        if question is not None:
            until(lambda: question.answered, "the answer came")
            cause = self.consent.act_on(suspicion, self.now)
        return cause

    def seconds_until_the_end(self, limit: float) -> float:
        began = self.now
        while self.act_on() is None and self.now - began < limit:
            self.now += 0.5
        return self.now - began


def test_with_consent_the_group_ends_at_once() -> None:
    asked = Asked(YES)
    assert asked.act_on() == LOST
    assert asked.consent.waits_for == ""


def test_where_nobody_answers_nobody_is_asked() -> None:
    assert Consent(None).act_on(LOST, 100.0) == LOST


def test_without_a_suspicion_nothing_is_asked() -> None:
    asked = Asked(YES)
    assert asked.act_on(None) is None
    assert asked.times == []


def test_a_group_that_may_not_end_says_why_and_asks_again() -> None:
    asked = Asked(NO, NO, NO, YES)
    assert asked.act_on() is None
    assert asked.consent.waits_for == "not ended yet: group 2 of the zone is being ended"
    assert asked.seconds_until_the_end(60) == 6
    assert len(asked.times) == 4


def test_without_an_answer_the_group_ends_after_a_while() -> None:
    asked = Asked(NOBODY)
    assert asked.act_on() is None
    assert "the operator is asked" in asked.consent.waits_for
    assert asked.seconds_until_the_end(60) == SILENT_SECONDS
    assert len(asked.times) >= SILENT_SECONDS - 1, "each second another operator may answer"


def test_a_refusal_counts_while_the_operator_goes_on_to_answer() -> None:
    asked = Asked(NO, NO, NO, NOBODY)
    assert 4 + SILENT_SECONDS <= asked.seconds_until_the_end(60) <= 5 + SILENT_SECONDS


def test_whatever_is_answered_nobody_hangs_for_ever() -> None:
    asked = Asked(NO)
    asked.act_on()
    asked.now += LONGEST_SECONDS - 1
    assert asked.act_on() is None
    asked.now += 1
    assert asked.act_on() == LOST


def test_a_question_that_hangs_is_given_up_after_a_second() -> None:
    hangs, asked = threading.Event(), []

    def ask() -> Verdict:
        asked.append(1)
        hangs.wait(30)
        return YES

    waiting = Consent(ask)
    for tenth in range(int(SILENT_SECONDS * 10)):
        assert waiting.act_on(LOST, 100 + tenth / 10) is None
    assert waiting.act_on(LOST, 100 + SILENT_SECONDS) == LOST
    assert 5 <= len(asked) <= SILENT_SECONDS
    hangs.set()


def test_a_suspicion_that_has_gone_is_forgotten_with_the_consent() -> None:
    asked = Asked(YES, NO)
    assert asked.act_on() == LOST
    assert asked.act_on(None) is None
    asked.now += 50
    assert asked.act_on() is None, "another suspicion asks anew"
    assert len(asked.times) == 2


def test_consent_to_an_end_that_is_not_needed_any_more_ends_nothing() -> None:
    asked = Asked(NO)
    asked.act_on()
    assert asked.act_on(None) is None
    assert asked.consent.waits_for == ""


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([YES, NO, NOBODY]), st.booleans(), st.integers(0, 8)), max_size=20))
def test_no_order_of_answers_ends_a_group_that_nobody_suspects_or_that_was_refused_just_now(
    steps: list[tuple[Verdict | Exception, bool, int]],
) -> None:
    asked = Asked(NOBODY)
    began: float | None = None
    for answer, suspected, pause in steps:
        asked.answers = [answer]
        asked.now += pause
        began = (began if began is not None else asked.now) if suspected else None
        questions = len(asked.times)
        cause = asked.act_on(LOST if suspected else None)
        fresh = len(asked.times) > questions
        if not suspected:
            assert cause is None
        elif cause is None:
            assert began is not None
            assert asked.now - began < LONGEST_SECONDS
            assert not (fresh and answer is YES)
        if fresh and answer is NO:
            assert cause is None


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        (fetch.Answer(200, b'{"end": true}'), YES),
        (fetch.Answer(200, b'{"end": false, "cause": "x"}'), Verdict(end=False, why="x")),
        (fetch.Answer(200, b'{"end": false}'), Verdict(end=False, why="the operator does not say why")),
    ],
)
def test_answers_are_read(answer: fetch.Answer, want: Verdict) -> None:
    assert consent.parse(answer) == want


@pytest.mark.parametrize(
    "answer",
    [
        fetch.Answer(503, b"another operator holds the Lease"),
        fetch.Answer(404, b"an older one"),
        fetch.Answer(200, b"no JSON"),
        fetch.Answer(200, b"[]"),
        fetch.Answer(200, b'{"end": "yes"}'),
    ],
)
def test_an_answer_that_is_none_is_no_answer(answer: fetch.Answer) -> None:
    with pytest.raises(ValueError, match="the operator"):
        consent.parse(answer)


@pytest.mark.parametrize("worker", ["0", "1"])
def test_each_pod_asks_for_its_group(worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def get(host: str, port: int, path: str, *, timeout_seconds: float) -> fetch.Answer:
        asked.append((host, port, path, timeout_seconds))
        return fetch.Answer(200, b'{"end": true}')

    monkeypatch.setattr(fetch, "get", get)
    where = {"TRIREME_PERMIT_URL": "http://permit:8081", "LWS_LEADER_ADDRESS": "llm-zone-a-3.llm-zone-a.genai"}
    who = {"LWS_WORKER_INDEX": worker, "TRIREME_POD_NAMESPACE": "genai"}
    made = consent.of_pod(environment.parse({**VARIABLES, **where, **who}))
    made.act_on(LOST, 100.0)
    until(lambda: made.act_on(LOST, 100.0) == LOST, "the answer came")
    assert asked == [("permit", 8081, "/v1/end/genai/llm-zone-a/3", 1.0)]
