"""Prometheus' text format, for gauges."""

from __future__ import annotations


def head(name: str, description: str) -> list[str]:
    """The two lines before the samples of a gauge."""
    return [f"# HELP {name} {description}", f"# TYPE {name} gauge"]


def sample(name: str, value: float, **labels: object) -> str:
    """One sample; a truth is 1 or 0, and seconds are given to the millisecond."""
    shown = round(value, 3) if isinstance(value, float) else int(value)
    inside = ",".join(f'{key}="{_escaped(str(text))}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {shown}" if inside else f"{name} {shown}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
