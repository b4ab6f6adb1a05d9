"""May this group be ended on suspicion alone: silence, a stall, an engine that does not answer?

What takes the members of one group for dead may take all groups of a zone for dead, as a network that is cut does; and
each of them would load for half an hour. So whoever suspects asks the operator, which lets one group of a zone go at a
time. A proof of a death asks nobody (ends.py), and the group is out of rotation all the while.

An operator that has said no is asked again for as long as it answers. Without an answer for ``SILENT_SECONDS``, and
after ``LONGEST_SECONDS`` whatever is answered, the group ends: nobody hangs for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trireme_runtime import fetch, question
from trireme_runtime.environment import Environment
from trireme_runtime.log import say
from trireme_runtime.question import ANSWER_SECONDS, Question
from trireme_runtime.termination import Cause

SILENT_SECONDS = 15.0
"""Longer than a standby needs to take over from an operator that is lost."""
LONGEST_SECONDS = 3600.0
_NO_ANSWER_AGAIN_SECONDS = 1.0
_REFUSED_AGAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Verdict:
    """What the operator says; ``why`` it says no."""

    end: bool
    why: str = ""


class Consent:
    """The question and what follows from its answers; asked by one thread, every time on the monotonic clock."""

    def __init__(self, ask: Callable[[], Verdict] | None) -> None:
        """``ask`` is None where nobody answers: then nobody is asked."""
        self._ask = ask
        self._since: float | None = None
        self._heard_at = 0.0
        self._ask_at = 0.0
        self._question: Question[Verdict] | None = None
        self._given = False
        self._refusal = ""

    @property
    def waits_for(self) -> str:
        """Why a suspicion has not ended the group; empty when there is none that waits."""
        if self._since is None or self._given:
            return ""
        return f"not ended yet: {self._refusal or 'the operator is asked whether the group may be ended'}"

    def act_on(self, suspicion: Cause | None, now: float) -> Cause | None:
        """The suspicion, once it may end the group. One that has gone is forgotten, and the next one asks anew."""
        if suspicion is None or self._ask is None:
            self._since, self._question, self._given, self._refusal = None, None, False, ""
            return suspicion
        if self._since is None:
            say("A suspicion; the operator is asked whether the group may be ended", reason=suspicion.message)
            self._since = self._heard_at = self._ask_at = now
        if self._question is None and not self._given and now >= self._ask_at:
            self._question = Question(self._ask, now)
        if self._question is not None and self._question.is_over(now):
            self._take(self._question, now)
        self._give_up(self._since, now)
        return suspicion if self._given else None

    def _take(self, asked: Question[Verdict], now: float) -> None:
        self._question = None
        if asked.error is not None or asked.answer is None:
            self._ask_at = now + _NO_ANSWER_AGAIN_SECONDS
            return
        self._heard_at, self._given = now, asked.answer.end
        self._ask_at = now + _REFUSED_AGAIN_SECONDS
        if self._refusal != asked.answer.why:
            say("The group may not be ended yet", reason=asked.answer.why)
        self._refusal = asked.answer.why

    def _give_up(self, since: float, now: float) -> None:
        if self._given:
            return
        silent, long = now - self._heard_at >= SILENT_SECONDS, now - since >= LONGEST_SECONDS
        if silent or long:
            said = f"no answer for {SILENT_SECONDS:g} s" if silent else f"not allowed for {LONGEST_SECONDS:g} s"
            say("Ending the group without the operator's word", reason=said)
            self._given = True


def of_pod(environment: Environment) -> Consent:
    """Each pod asks for its group: on a network that is cut, each side must be able to."""
    if environment.permit is None:
        return Consent(None)
    host, port = environment.permit
    path = question.path(environment, "end")
    return Consent(lambda: parse(fetch.get(host, port, path, timeout_seconds=ANSWER_SECONDS)))


def parse(answer: fetch.Answer) -> Verdict:
    """Raises ValueError for an answer that is none."""
    found = question.document(answer)
    end = found.get("end")
    if not isinstance(end, bool):
        raise ValueError("the operator's answer does not say whether the group may be ended")  # noqa: TRY004
    return Verdict(end, "" if end else str(found.get("cause") or "the operator does not say why")[:1000])
