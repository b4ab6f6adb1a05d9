"""When a group that failed may start again: after a delay that doubles, and after too many failures not for a while."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trireme_operator.api.restarts import BACKOFF_SECONDS, WINDOW_SECONDS, Restarts

MAX_DELAY_SECONDS: Final = 300
"""The delay doubles up to this, or to ``spec.restarts.backoffSeconds`` where that is greater."""
JITTER_PERCENT: Final = 20


@dataclass(frozen=True)
class RestartPolicy:
    """``spec.restarts`` with its defaults; times in seconds, ``limit`` 0 for none."""

    limit: int = 5
    window: int = WINDOW_SECONDS
    backoff: int = BACKOFF_SECONDS


def restart_policy(wanted: Restarts | None) -> RestartPolicy:
    """What a resource says, with the defaults for what it does not say."""
    default = RestartPolicy()
    if wanted is None:
        return default
    return RestartPolicy(
        limit=default.limit if wanted.limit is None else wanted.limit,
        window=wanted.window_seconds or default.window,
        backoff=default.backoff if wanted.backoff_seconds is None else wanted.backoff_seconds,
    )


@dataclass(frozen=True)
class Permit:
    """Whether a group may start now. ``until`` (seconds since the epoch) is when it may, None when it may now.

    ``failures`` are those within the window; ``held`` tells the limit from the delay between two starts.
    """

    failures: int = 0
    until: int | None = None
    held: bool = False

    @property
    def start(self) -> bool:
        """Whether it may start now."""
        return self.until is None


def permit(times: Sequence[int], policy: RestartPolicy, *, now: int, group: str) -> Permit:
    """May ``group`` start at ``now``, having failed at these ``times`` (ascending, seconds since the epoch)?

    Every operator says the same: what spreads the groups of a zone is derived from ``group`` and its last failure.
    """
    recent = [time for time in times if time > now - policy.window]
    if not recent:
        return Permit()
    held = 0 < policy.limit <= len(recent)
    until = recent[-policy.limit] + policy.window if held else recent[-1] + _delay(len(recent), policy, group, recent)
    return Permit(len(recent), until if until > now else None, held=held and until > now)


def _delay(failures: int, policy: RestartPolicy, group: str, recent: Sequence[int]) -> int:
    delay = min(policy.backoff << (failures - 1), max(policy.backoff, MAX_DELAY_SECONDS))
    digest = hashlib.sha256(f"{group}/{recent[-1]}".encode()).digest()
    return delay + delay * (digest[0] * JITTER_PERCENT // 255) // 100
