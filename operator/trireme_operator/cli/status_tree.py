"""The tree of ``trireme status``. Texts of pods are shown as they are: nothing in them is taken for markup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from trireme_operator.cli.history import age
from trireme_operator.cli.observed import Group, Observed, Pod, Zone
from trireme_operator.collector.statusz import one_line

_GOOD, _BAD, _DIM = "green", "red", "dim"
_TEXT_LIMIT: Final = 512
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_UNIT: Final = 1000
_COLUMNS: Final = 6
_FAILURE_COLUMNS: Final = 5


def tree(found: Observed, now: datetime) -> Tree:
    """All of it."""
    root = Tree(_head(found), guide_style=_DIM)
    for zone in found.zones:
        branch = root.add(_zone(zone))
        for group in zone.groups:
            leaf = branch.add(_group(group, now))
            if group.pods:
                leaf.add(_pods(group, now))
        if failures := zone.status.get("failures"):
            branch.add(_failures(failures, now))
    return root


def _head(found: Observed) -> Text:
    metadata, status = found.raw["metadata"], found.raw.get("status") or {}
    ready: Mapping[str, Any] = next(
        (each for each in status.get("conditions") or [] if each.get("type") == "Ready"), {}
    )
    state = str(ready.get("status") or "Unknown")
    text = Text.assemble(
        (f"{metadata['namespace']}/{metadata['name']}", "bold"),
        "  Ready=",
        (state, _GOOD if state == "True" else _BAD),
        f" ({ready.get('reason') or 'the operator has not looked at it yet'})",
    )
    if ready.get("message") and state != "True":
        text.append(f": {_line(ready['message'])}")
    return text


def _zone(zone: Zone) -> Text:
    status = zone.status
    name = f"zone {zone.name}" if zone.name else "all zones"
    if not status:
        return Text.assemble((name, "bold"), "  not asked for any more, or not looked at yet")
    ready, wanted = status.get("readyGroups") or 0, status.get("groups") or 0
    text = Text.assemble(
        (name, "bold"),
        "  ",
        (f"{ready}/{wanted} groups ready", _GOOD if ready >= wanted else _BAD),
        f", weight {status.get('weight')} ({_why(status)})",
    )
    if zone.revision:
        text.append(f", {zone.revision}", _DIM)
    if status.get("drain"):
        text.append(f"; {_line(status.get('message') or status['drain'])}")
    return text


def _why(status: Mapping[str, Any]) -> str:
    percent = status.get("weightPercent")
    return f"{status.get('weightReason')}" + (f" {percent} %" if percent is not None else "")


def _group(group: Group, now: datetime) -> Text:
    if group.ready:
        return Text.assemble(f"group {group.index}  ", ("ready", _GOOD))
    entry = group.stalled
    if entry is None:
        return Text.assemble(f"group {group.index}  ", ("not ready", _BAD))
    since = _age(entry.get("since"), now)
    progress = _progress(entry.get("fetchedBytes"), entry.get("totalBytes"))
    more = "".join(f" {part}" for part in (since, progress) if part)
    text = Text.assemble(f"group {group.index}  ", (str(entry.get("stage")), _BAD), more)
    return text.append(f": {_line(entry['reason'])}") if entry.get("reason") else text


def _pods(group: Group, now: datetime) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(_COLUMNS):
        table.add_column(overflow="fold")
    for pod in group.pods:
        restarts = f"{pod.restarts} restarts" if pod.restarts else ""
        stage = Text(_stage(pod, now), _GOOD if pod.ready else _BAD)
        more = "; ".join(_remarks(pod))
        table.add_row(Text(pod.name), Text(pod.role), Text(pod.node or "no node"), stage, Text(restarts), Text(more))
    return table


def _failures(failures: Iterable[Mapping[str, Any]], now: datetime) -> Tree:
    """The last failure of each group that failed, the latest first, whether or not the group is ready again."""
    table = Table.grid(padding=(0, 2))
    for _ in range(_FAILURE_COLUMNS):
        table.add_column(overflow="fold")
    for each in failures:
        since = _age(each.get("time"), now)
        when = f"{since} ago" if since else str(each.get("time") or "")
        said = ": ".join(_line(part) for part in (each.get("cause"), each.get("message")) if part)
        cells = (f"group {each.get('group')}", when, str(each.get("pod")), said, "; ".join(_restarts(each)))
        table.add_row(*(Text(cell) for cell in cells))
    branch = Tree("last failures", guide_style=_DIM)
    branch.add(table)
    return branch


def _restarts(failure: Mapping[str, Any]) -> Iterator[str]:
    count = failure.get("count") or 1
    if count > 1:
        yield f"failed {count} times"
    if failure.get("nextTry"):
        yield f"may start at {failure['nextTry']}"


def _stage(pod: Pod, now: datetime) -> str:
    heard = pod.heard
    if heard is None or pod.state not in {"Running", "Terminating"}:
        return f"{pod.state}, stage unknown" if pod.unheard else pod.state
    parts = [heard.stage, _age(heard.since, now), _progress(heard.done, heard.total)]
    return " ".join(part for part in parts if part)


def _remarks(pod: Pod) -> Iterator[str]:
    """The first cause first, then what else is odd."""
    if pod.unheard:
        yield pod.unheard
    heard = pod.heard
    if heard is None:
        return
    if heard.failure is not None:
        rank = f" rank {heard.failure.rank}" if heard.failure.rank is not None else ""
        said = ": ".join(part for part in (heard.failure.reason, heard.failure.message) if part)
        yield f"{heard.failure.pod}{rank}: {said}" if heard.failure.pod else said
    if heard.held is not None:
        until = f" until {heard.held.until}" if heard.held.until else ""
        yield f"held{until} after {heard.held.failures} failures: {heard.held.cause}"
    if heard.reason and (heard.failure is None or heard.reason != heard.failure.message):
        yield heard.reason
    if heard.stalled is not None:
        yield f"stalled since {heard.stalled}"
    for member in heard.lost:
        last = f", last heard {member.age:.0f}s ago" if member.age is not None else ""
        who = f"worker {member.index}" if member.index else "the leader"
        yield f"{who} is {member.state}{last}"
    if heard.canary is not None and not heard.canary.passed:
        yield f"the canary failed: {heard.canary.reason}"
    yield from (f"preflight {check}" for check in heard.failed_checks)


def _progress(done: int | None, total: int | None) -> str:
    if done is None:
        return ""
    return f"({_size(done)} of {_size(total)})" if total is not None else f"({_size(done)})"


def _size(count: int) -> str:
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < _UNIT:
            return f"{value:.3g} {unit}"
        value /= _UNIT
    return f"{value:.3g} {_UNITS[-1]}"


def _age(since: object, now: datetime) -> str:
    if not isinstance(since, str):
        return ""
    try:
        began = datetime.fromisoformat(since)
    except ValueError:
        return ""
    return age(now - (began if began.tzinfo else began.replace(tzinfo=UTC)))


def _line(text: object) -> str:
    return one_line(str(text), limit=_TEXT_LIMIT)
