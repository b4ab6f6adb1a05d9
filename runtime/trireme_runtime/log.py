"""The launcher's own lines on standard error, told apart from the engine's by their first word."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

PREFIX = "trireme-launcher"


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, to the second, of a time since the epoch."""
    return datetime.fromtimestamp(int(seconds), tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def say(message: str, **fields: object) -> None:
    """One line: ``trireme-launcher <time> <message> key="value" ...``; never more, whatever the values hold."""
    now = timestamp(datetime.now(tz=timezone.utc).timestamp())
    values = "".join(f" {key}={_quoted(value)}" for key, value in fields.items() if value not in ("", None))
    sys.stderr.write(f"{PREFIX} {now} {message}{values}\n")
    sys.stderr.flush()


def _quoted(value: object) -> str:
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n")
    return f'"{text}"'
