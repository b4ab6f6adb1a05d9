"""Which part of a Dockerfile an image depends on, so that editing one stage does not rebuild the others."""

from __future__ import annotations

import re

_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(?P<parent>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
_USED = re.compile(r"(?:--from=|,from=)(?P<stage>[\w.-]+)", re.IGNORECASE)


class UnknownStageError(ValueError):
    """A stage that the Dockerfile does not have."""


def closure(text: str, stage: str) -> str:
    """The text of ``stage``, of every stage it is made from or copies from, and of the ARGs before the first FROM.

    Raises:
        UnknownStageError: no stage has that name.

    """
    head, stages = _split(text)
    if stage not in stages:
        raise UnknownStageError(f"the Dockerfile has no stage {stage!r}; it has {', '.join(stages)}")
    wanted: set[str] = set()
    pending = [stage]
    while pending:
        name = pending.pop()
        if name in stages and name not in wanted:
            wanted.add(name)
            pending += _needs(stages[name])
    return head + "".join(part for name, part in stages.items() if name in wanted)


def _split(text: str) -> tuple[str, dict[str, str]]:
    head, current = "", ""
    stages: dict[str, str] = {}
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            continue
        if found := _FROM.match(line):
            current = found["name"] or f"stage {len(stages)}"
            stages[current] = ""
        if current:
            stages[current] += line
        else:
            head += line
    return head, stages


def _needs(part: str) -> list[str]:
    first = _FROM.match(part)
    return ([first["parent"]] if first else []) + _USED.findall(part)
