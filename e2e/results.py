"""What pytest wrote about its runs (``--junitxml``), summed up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

EXCUSE = "no GPU"
"""The one reason for which a test may be skipped where everything has to run: how its message begins."""


@dataclass(frozen=True)
class Results:
    """Counts of tests; ``unexcused`` names the skipped ones (with the reason) that no machine excuses, ``broken``
    the failed ones with the first line of what they said, and where.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    unexcused: tuple[str, ...] = field(default=())
    broken: tuple[str, ...] = field(default=())

    def __add__(self, other: Results) -> Results:
        return Results(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.unexcused + other.unexcused,
            self.broken + other.broken,
        )

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read(files: Iterable[Path]) -> Results:
    """The sum over result files. A file that pytest did not come to write, or to finish, counts as nothing.

    A test that failed as it was expected to (xfail) counts as passed: pytest calls it skipped in the file.
    An error, in a fixture say, counts as failed.
    """
    return sum((_of(case) for file in files for case in _cases(file)), Results())


def _cases(file: Path) -> list[ET.Element]:
    try:
        # The file was written a moment ago by the pytest that this process started.
        return list(ET.parse(file).getroot().iter("testcase"))  # noqa: S314
    except (OSError, ET.ParseError):
        return []


_RAISED = re.compile(r"^(\S+\.py:\d+): \w+$", re.MULTILINE)
_SAID = re.compile(r"^E +(\S.*)$", re.MULTILINE)


def _told(found: ET.Element) -> str:
    """The first line of the message; of an error that came while another one was handled, what the other one said."""
    said = (found.get("message") or "").partition("\n")[0] or "without a message"
    places = list(dict.fromkeys(_RAISED.findall(found.text or "")))
    first = _SAID.search(found.text or "")
    if first and len(places) > 1:
        said += f", after {first[1]}"
    return f"{said} (at {', '.join(places)})" if places else said


def _of(case: ET.Element) -> Results:
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            return Results(failed=1, broken=(f"{case.get('classname')}::{case.get('name')}: {_told(found)}",))
    skip = case.find("skipped")
    if skip is None or skip.get("type") == "pytest.xfail":
        return Results(passed=1)
    reason = skip.get("message", "")
    name = f"{case.get('classname')}::{case.get('name')}: {reason or 'without a reason'}"
    return Results(skipped=1, unexcused=() if reason.startswith(EXCUSE) else (name,))
