"""The answer of a launcher's ``/statusz``, as far as somebody here acts on it.

A pod can say anything. So an answer counts only when it comes from the pod that was asked, told by its UID; a known
field of a wrong type refuses the whole of it; what is missing or not known is passed over, because a launcher may be
older or newer (docs/contract.md); and every text becomes one line of bounded length.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any, Final

ANSWER_LIMIT_BYTES: Final = 128 * 1024
"""More than a leader of 64 pods with 256 preflight checks has to say (docs/contract.md), 107 kB."""
TEXT_LIMIT: Final = 300
"""Characters of a reason that are kept."""
_NAME_LIMIT: Final = 253
_MEMBERS_LIMIT: Final = 256
_CHECKS_LIMIT: Final = 1024
_SHOWN_CHECKS: Final = 4
_WORD: Final = re.compile(r"[A-Z][A-Za-z]{0,31}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_READY: Final = "Ready"
_ALIVE: Final = frozenset({"Alive", "Unknown"})


class AnswerError(ValueError):
    """The answer is none of the launcher that was asked; the message says what is wrong, never what stood there."""


@dataclass(frozen=True, slots=True)
class Member:
    """Another pod of the group that the launcher can't hear, or that it knows to be dead. `age` in seconds."""

    index: int
    state: str
    age: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The first cause: of the pod's own end, or what a survivor of its group reports."""

    reason: str
    message: str
    pod: str
    rank: int | None


@dataclass(frozen=True, slots=True)
class Canary:
    """The tiny completion that proves a new group."""

    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ServiceCanary:
    """A completion through the zone's Service: the last question, None as long as it is not answered."""

    question: str
    passed: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """A group that is not started again before `until` (RFC 3339), after so many failures."""

    until: str
    failures: int
    cause: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What one launcher said; `since` and `stalled` in RFC 3339, UTC, `done` and `total` the bytes of what it fetches.

    `lost` are the other pods of the group that it does not hear, or knows to be dead.
    """

    pod_uid: str
    stage: str
    since: str | None = None
    reason: str = ""
    epoch: str | None = None
    lost: tuple[Member, ...] = ()
    failure: Failure | None = None
    canary: Canary | None = None
    service_canary: ServiceCanary | None = None
    held: Held | None = None
    stalled: str | None = None
    failed_checks: tuple[str, ...] = ()
    done: int | None = None
    total: int | None = None
    requests: int | None = None
    """Unfinished requests in the engine of this pod, at most some seconds ago."""


def is_news(before: Heard | None, after: Heard) -> bool:
    """Whether the answer changes what is to be said of the group: its stage, members, failure, canary and the like.

    That a pod has become Ready is no news: its readiness probe says the same to everybody, and a look at the resource
    a moment before that would only delay the one that counts. Texts and ages alone are none either, and of bytes each
    tenth, or each doubling where nobody knows of how many.
    """
    told = _told(after)
    if after.stage == _READY:
        return told[1:-1] != (_told(before)[1:-1] if before is not None else _NOTHING_WRONG)
    return before is None or told != _told(before)


def _told(heard: Heard) -> tuple[object, ...]:
    members = tuple((member.index, member.state) for member in heard.lost)
    proof = heard.service_canary
    answered = None if proof is None or proof.passed is None else (proof.question, proof.passed)
    return (
        heard.stage,
        members,
        heard.failure,
        (heard.canary, answered),
        heard.held,
        heard.stalled,
        heard.failed_checks,
        _tenths(heard),
    )


def _tenths(heard: Heard) -> int | None:
    if heard.done is None:
        return None
    return heard.done * 10 // heard.total if heard.total else heard.done.bit_length()


_NOTHING_WRONG: Final = _told(Heard("", _READY))[1:-1]


def parse(body: bytes, *, pod_uid: str) -> Heard:
    """The answer of the pod of this UID. Raises AnswerError."""
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise AnswerError("the answer is not JSON") from None
    root = _Fields(document, "")
    if root.text("podUID", limit=_NAME_LIMIT) != pod_uid:
        raise AnswerError("another pod answers at this address")
    stages = list(root.items("stages", limit=_CHECKS_LIMIT))
    stage = root.word("stage")
    running = stages[-1] if stages and stages[-1].text("stage") == stage else None
    return Heard(
        pod_uid=pod_uid,
        stage=stage,
        since=root.time("stageSince"),
        reason=root.text("reason"),
        epoch=root.text("epoch", limit=_NAME_LIMIT) or None,
        lost=tuple(_lost(root)),
        failure=_failure(root),
        canary=_canary(root),
        service_canary=_service_canary(root),
        held=_held(root),
        stalled=_stalled(root),
        failed_checks=tuple(_failed_checks(root)),
        done=running.count("bytes") if running is not None else None,
        total=running.count("totalBytes") if running is not None else None,
        requests=_requests(root),
    )


def _requests(root: _Fields) -> int | None:
    engine = root.inside("engine")
    return None if engine is None else engine.count("requests")


def _lost(root: _Fields) -> Iterator[Member]:
    for item in root.items("members", limit=_MEMBERS_LIMIT):
        state = item.word("state")
        if state not in _ALIVE:
            index = item.count("index")
            if index is None:
                raise AnswerError(f"{item.path}.index is missing")
            yield Member(index, state, item.seconds("heartbeatAge"), item.text("reason"))


def _failure(root: _Fields) -> Failure | None:
    found = root.inside("failure")
    if found is None:
        return None
    return Failure(
        reason=found.text("reason", limit=64),
        message=found.text("message"),
        pod=found.text("pod", limit=_NAME_LIMIT),
        rank=found.count("rank"),
    )


def _canary(root: _Fields) -> Canary | None:
    found = root.inside("canary")
    if found is None:
        return None
    return Canary(found.truth("passed"), found.text("reason"))


def _service_canary(root: _Fields) -> ServiceCanary | None:
    found = root.inside("serviceCanary")
    if found is None:
        return None
    passed = None if found.value("passed") is None else found.truth("passed")
    return ServiceCanary(found.text("question", limit=_NAME_LIMIT), passed, found.text("reason"))


def _held(root: _Fields) -> Held | None:
    found = root.inside("held")
    if found is None:
        return None
    return Held(found.time("until") or "", found.count("failures") or 0, _cause(found))


def _cause(held: _Fields) -> str:
    """A text, or the first cause as an object."""
    if isinstance(held.value("cause"), Mapping):
        cause = _Fields(held.value("cause"), f"{held.path}.cause")
        return ": ".join(part for part in (cause.text("reason", limit=64), cause.text("message")) if part)
    return held.text("cause")


def _stalled(root: _Fields) -> str | None:
    found = root.inside("stalled")
    return None if found is None else found.time("since") or ""


def _failed_checks(root: _Fields) -> Iterator[str]:
    """Of the preflight: the first few that failed, each in one line."""
    found = root.inside("preflight")
    if found is None:
        return
    failed = [check for check in found.items("checks", limit=_CHECKS_LIMIT) if not check.truth("passed")]
    for check in failed[:_SHOWN_CHECKS]:
        pods = " -> ".join(pod for pod in (check.text("pod", limit=64), check.text("peer", limit=64)) if pod)
        where = f"{check.text('name', limit=32)} ({pods})" if pods else check.text("name", limit=32)
        reason = check.text("reason")
        yield f"{where}: {reason}" if reason else where


class _Fields:
    """One object of the answer. Each getter takes what is missing for nothing, and raises AnswerError for a type."""

    def __init__(self, found: Any, path: str) -> None:
        if not isinstance(found, Mapping):
            raise AnswerError(f"{path.lstrip('.') or 'the answer'} is no object")
        self._found = found
        self.path = path.lstrip(".")

    def value(self, name: str) -> Any:
        return self._found.get(name)

    def text(self, name: str, *, limit: int = TEXT_LIMIT) -> str:
        value = self.value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return one_line(value, limit=limit)

    def word(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str) or not _WORD.fullmatch(value):
            raise self._wrong(name, "a word")
        return intern(value)

    def time(self, name: str) -> str | None:
        value = self.value(name)
        if value is None:
            return None
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise self._wrong(name, "a time")
        try:
            return datetime.fromisoformat(value[:19]).isoformat() + "Z"
        except ValueError:
            raise self._wrong(name, "a time") from None

    def count(self, name: str) -> int | None:
        value = self.value(name)
        if value is None:
            return None
        if type(value) is not int or not 0 <= value < 2**63:
            raise self._wrong(name, "a count")
        return value

    def seconds(self, name: str) -> float | None:
        value = self.value(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise self._wrong(name, "a number of seconds")
        return float(value)

    def truth(self, name: str) -> bool:
        value = self.value(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def inside(self, name: str) -> _Fields | None:
        value = self.value(name)
        return None if value is None else _Fields(value, f"{self.path}.{name}")

    def items(self, name: str, *, limit: int) -> Iterator[_Fields]:
        value = self.value(name)
        if value is None:
            return
        if not isinstance(value, list) or len(value) > limit:
            raise self._wrong(name, f"a list of at most {limit}")
        for index, item in enumerate(value):
            yield _Fields(item, f"{self.path}.{name}[{index}]")

    def _wrong(self, name: str, wanted: str) -> AnswerError:
        return AnswerError(f"{f'{self.path}.{name}'.lstrip('.')} is not {wanted}")


def one_line(text: str, *, limit: int) -> str:
    """The text without anything that can't be printed (lone surrogates among it), cut to so many characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _no_constant(name: str) -> float:
    raise ValueError(name)
