"""The first cause of a pod's end, left where the kubelet picks it up (docs/contract.md, "Ends")."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trireme_runtime.log import say

MAX_BYTES = 4096
"""The kubelet's own limit of a termination message."""

_MAX_MESSAGE_CHARACTERS = 1000


@dataclass(frozen=True)
class Cause:
    """Why a launcher ends: a reason in CamelCase, the engine's exit code or signal, a sentence, its last lines.

    pod, rank, at: where and when it happened, which may be another pod of the group; ``rank`` is the first of that pod,
    ``at`` is RFC 3339.
    """

    reason: str
    message: str
    exit_code: int | None = None
    signal: str | None = None
    log: tuple[str, ...] = ()
    pod: str = ""
    rank: int | None = None
    at: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "reason": self.reason,
            "exitCode": self.exit_code,
            "signal": self.signal,
            "message": self.message[:_MAX_MESSAGE_CHARACTERS],
            "pod": self.pod or None,
            "rank": self.rank,
            "at": self.at or None,
            "log": list(self.log),
        }


def engine_exited(code: int, log: Sequence[str]) -> Cause:
    """The cause when the engine's process ended by itself; ``code`` is negative for a signal."""
    if code >= 0:
        hint = " (vLLM ends with 0 on fatal errors too)" if code == 0 else ""
        return Cause("EngineExited", f"the engine ended with exit code {code}{hint}", code, None, tuple(log))
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return Cause("EngineKilled", f"the engine was ended by {name}", None, name, tuple(log))


def encode(cause: Cause) -> bytes:
    """One JSON object of at most 4096 bytes: the oldest lines of the log go first."""
    document = cause.as_json()
    log = list(cause.log)
    while True:
        data = json.dumps({**document, "log": log}, ensure_ascii=False).encode("utf-8", errors="replace")
        if len(data) <= MAX_BYTES or not log:
            return data
        del log[0]


def write(path: str, cause: Cause) -> None:
    """Leave the cause at ``path``; a file that cannot be written is said in the log and nothing more."""
    try:
        Path(path).write_bytes(encode(cause))
    except OSError as error:
        say("The first cause could not be written", path=path, error=error, cause=cause.message)
