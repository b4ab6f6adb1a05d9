"""What a person sees while something takes minutes: each step, how long it has run, how long it should take.

The expected time is what the same step took on this machine the last time, else the figure given by the
caller. On a terminal the line moves; in a log each step is one line at its start (when it is long) and one
at its end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from e2e import cache

console = Console(highlight=False, soft_wrap=True)

_LONG_SECONDS = 5.0
_TENTHS_BELOW_SECONDS = 10.0


@contextmanager
def step(name: str, *, expected_seconds: float = 0.0) -> Iterator[None]:
    """Show ``name`` while the block runs; remember how long it took when it succeeds."""
    expected = _remembered().get(name, expected_seconds)
    hint = f" (about {_human(expected)})" if expected >= _LONG_SECONDS else ""
    started = time.monotonic()
    try:
        if console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Progress(*columns, console=console, transient=True) as bar:
                bar.add_task(name + hint)
                yield
        else:
            if expected >= _LONG_SECONDS:
                console.print(f"  … {name}{hint}")
            yield
    except BaseException:
        console.print(f"  ✗ {name} failed after {_human(time.monotonic() - started)}")
        raise
    took = time.monotonic() - started
    console.print(f"  ✓ {name} ({_human(took)})")
    if took >= _LONG_SECONDS:
        _remember(name, took)


def _human(seconds: float) -> str:
    if seconds < _TENTHS_BELOW_SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _remembered() -> dict[str, float]:
    try:
        return {str(k): float(v) for k, v in json.loads(_file().read_text()).items()}
    except (OSError, ValueError):
        return {}


def _remember(name: str, seconds: float) -> None:
    with cache.locked(_file()):
        durations = _remembered() | {name: round(seconds, 1)}
        _file().write_text(json.dumps(durations, indent=1, sort_keys=True))


def _file() -> Path:
    return cache.root() / "durations.json"
