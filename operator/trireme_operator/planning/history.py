"""What a zone remembers of its groups: a bounded JSON object in an annotation of its LeaderWorkerSet.

It is memory and nothing else: thrown away, the failures before are forgotten, and everything goes on. Sections that
this version does not know are kept as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

VERSION: Final = 1
MAX_BYTES: Final = 3072
"""Of the annotation, which is to stay below 4 KiB with what other sections need."""

MAX_TIMES: Final = 20
"""Failures of a group that are counted: the greatest ``spec.restarts.limit``."""

OOM_KILLED: Final = "OOMKilled"

_MAX_FAILURES: Final = 12
_BRIEF_AFTER: Final = 4
"""Failures that keep their message and log lines; older ones keep the cause."""
_TEXT_LIMIT: Final = 240
_LINES: Final = 3
_LINE_LIMIT: Final = 120
_LEADER: Final = 0


@dataclass(frozen=True)
class Failure:
    """Why a group ended: its first cause. ``time`` in seconds since the epoch.

    ``epoch`` is the UID of the group's leader pod, or of the pod itself when no leader is known; ``revision``
    LeaderWorkerSet's hash of the template; ``worker`` the index of the pod in its group (0: the leader); ``rank`` is
    None unless a launcher named one; ``report`` says that another pod of the group told it.
    """

    group: int
    epoch: str
    pod: str
    worker: int
    reason: str
    time: int
    revision: str = ""
    container: str = ""
    exit_code: int | None = None
    signal: str = ""
    rank: int | None = None
    message: str = ""
    log: tuple[str, ...] = ()
    report: bool = False

    @property
    def cause(self) -> str:
        """As one line, for example ``worker 1: OOMKilled (exit 137)``."""
        who = "leader" if self.worker == _LEADER else f"worker {self.worker}"
        if self.rank is not None:
            who += f", rank {self.rank}"
        if self.container:
            who += f", container {self.container}"
        code = "" if self.exit_code is None else f"exit {self.exit_code}"
        how = self.signal or code
        return f"{who}: {self.reason}" + (f" ({how})" if how else "")


@dataclass(frozen=True)
class Chain:
    """When a group of one revision failed, oldest first, in seconds since the epoch."""

    revision: str
    times: tuple[int, ...] = ()


@dataclass(frozen=True)
class History:
    """The failures of a zone's groups, oldest first, and when each group failed."""

    failures: tuple[Failure, ...] = ()
    groups: Mapping[int, Chain] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)

    def of(self, group: int) -> Failure | None:
        """The group's last failure."""
        return next((each for each in reversed(self.failures) if each.group == group), None)

    def times(self, group: int, revision: str) -> tuple[int, ...]:
        """When the group failed with this template; with an unknown one (empty), when it failed at all."""
        chain = self.groups.get(group)
        if chain is None or (revision and chain.revision and chain.revision != revision):
            return ()
        return chain.times


def weight(failure: Failure) -> tuple[bool, bool, int, int]:
    """The least one is the first cause of its group's end.

    What a pod says of another one, or of the end of another one, comes after what happened to a pod itself. Times are
    cut to seconds and from the clocks of different nodes, so what is hardly ever a consequence gets a head start.
    """
    start = 2 if failure.reason == OOM_KILLED else int(bool(failure.signal))
    return is_consequence(failure.reason), failure.report, failure.time - start, failure.worker


def is_consequence(reason: str) -> bool:
    """Whether the reason of a launcher says that another pod of its group was the first to end (docs/contract.md)."""
    return reason.startswith(("Member", "Leader")) or reason == "RestartedInPlace"


def remember(history: History, failure: Failure) -> History:
    """The history with one more failure; the same history when it says nothing new.

    One end of a group is one failure: of two with the same epoch the first cause stays. What is older than the group's
    last failure was known before, and has been forgotten since.
    """
    failure = _bounded(failure)
    before = history.of(failure.group)
    if before is not None and failure.epoch == before.epoch:
        if weight(failure) >= weight(before):
            return history
        others = tuple(each for each in history.failures if each is not before)
        return _with(replace(history, failures=others), failure, instead_of=before.time)
    chain = history.groups.get(failure.group)
    if chain is not None and chain.times and failure.time <= chain.times[-1]:
        return history
    return _with(history, failure)


def parse(text: str | None) -> History:
    """What an annotation says; the empty history for none, one of another version, or one that was spoilt."""
    try:
        document = json.loads(text or "")
        if document.pop("version") != VERSION:
            return History()
        failures = tuple(_failure(item) for item in document.pop("failures"))
        groups = {int(group): _chain(item) for group, item in document.pop("groups").items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return History()
    return History(failures, groups, document)


def encode(history: History) -> str:
    """The annotation, at most 3072 bytes without the sections of others: the oldest goes first."""
    while True:
        document = {
            "version": VERSION,
            "failures": [_document(each) for each in history.failures],
            "groups": {
                str(group): {"revision": chain.revision, "times": list(chain.times)}
                for group, chain in sorted(history.groups.items())
            },
        }
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        if len(text.encode()) <= MAX_BYTES or not (history.failures or history.groups):
            return json.dumps({**document, **history.others}, separators=(",", ":"), ensure_ascii=False)
        history = _smaller(history)


def _with(history: History, failure: Failure, *, instead_of: int | None = None) -> History:
    chain = history.groups.get(failure.group, Chain(failure.revision))
    if chain.revision != failure.revision:
        chain = Chain(failure.revision)
    times = [time for time in chain.times if time != instead_of]
    groups = {
        **history.groups,
        failure.group: Chain(chain.revision, tuple(sorted([*times, failure.time])[-MAX_TIMES:])),
    }
    failures = sorted([*history.failures, failure], key=lambda each: each.time)[-_MAX_FAILURES:]
    brief = [replace(each, message="", log=()) for each in failures[:-_BRIEF_AFTER]]
    return replace(history, failures=(*brief, *failures[-_BRIEF_AFTER:]), groups=groups)


def _smaller(history: History) -> History:
    """Without the oldest log and message, else the oldest failure but one, else the group that failed longest ago."""
    for position, failure in enumerate(history.failures):
        if failure.message or failure.log:
            shorter = replace(failure, message="", log=())
            found = history.failures
            return replace(history, failures=(*found[:position], shorter, *found[position + 1 :]))
    if len(history.failures) > 1 or not history.groups:
        return replace(history, failures=history.failures[1:])
    oldest = min(history.groups, key=lambda group: max(history.groups[group].times, default=0))
    return replace(history, groups={group: chain for group, chain in history.groups.items() if group != oldest})


def _bounded(failure: Failure) -> Failure:
    lines = tuple(_cut(line, _LINE_LIMIT) for line in failure.log[-_LINES:])
    return replace(failure, message=_cut(failure.message, _TEXT_LIMIT), log=lines, reason=_cut(failure.reason, 63))


def _cut(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _document(failure: Failure) -> dict[str, Any]:
    """Only what says something: most fields of most failures are empty."""
    return {name: value for name, value in asdict(failure).items() if isinstance(value, int) or value}


def _failure(item: Mapping[str, Any]) -> Failure:
    """Raises KeyError, TypeError or ValueError for what is none."""

    def text(name: str) -> str:
        return str(item.get(name, ""))

    def number(name: str) -> int | None:
        return None if item.get(name) is None else int(item[name])

    return Failure(
        group=int(item["group"]),
        epoch=text("epoch"),
        pod=text("pod"),
        worker=int(item["worker"]),
        reason=text("reason"),
        time=int(item["time"]),
        revision=text("revision"),
        container=text("container"),
        exit_code=number("exit_code"),
        signal=text("signal"),
        rank=number("rank"),
        message=text("message"),
        log=tuple(str(line) for line in item.get("log") or ()),
        report=bool(item.get("report")),
    )


def _chain(item: Mapping[str, Any]) -> Chain:
    return Chain(str(item["revision"]), tuple(sorted(int(time) for time in item["times"])))
