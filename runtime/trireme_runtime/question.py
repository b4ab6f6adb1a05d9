"""One request to the operator in a thread of its own, so that the main loop never waits for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from trireme_runtime import fetch
from trireme_runtime.environment import Environment

ANSWER_SECONDS = 1.0
_OK = 200

T = TypeVar("T")


class Question(Generic[T]):
    """Asked when it is made; a look-up of a name cannot be told a time limit, so who asked counts the time itself."""

    def __init__(self, ask: Callable[[], T], now: float) -> None:
        """``now`` on the monotonic clock."""
        self.answer: T | None = None
        self.error: str | None = f"no answer within {ANSWER_SECONDS:g} s"
        self.answered = False
        self._ask = ask
        self._since = now
        threading.Thread(target=self._run, name="question", daemon=True).start()

    def is_over(self, now: float) -> bool:
        """Whether there is an answer, or none will be waited for any longer."""
        return self.answered or now - self._since >= ANSWER_SECONDS

    def _run(self) -> None:
        try:
            self.answer = self._ask()
            self.error = None
        except (fetch.RefusedError, fetch.UnreachableError, ValueError) as error:
            self.error = str(error)
        self.answered = True


def path(environment: Environment, what: str) -> str:
    """``/v1/{what}/{namespace}/{lws}/{group}`` of this pod's group, whose leader is called ``<lws>-<group>``."""
    name, _, group = environment.leader_address.partition(".")[0].rpartition("-")
    return f"/v1/{what}/{environment.pod_namespace}/{name}/{group}"


def document(answer: fetch.Answer) -> dict[str, Any]:
    """The object in an answer of the operator; raises ValueError when there is none."""
    if answer.status != _OK:
        raise ValueError(f"the operator answers {answer.status}")
    try:
        found = json.loads(answer.body)
    except ValueError as error:
        raise ValueError(f"the operator's answer can't be read: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("the operator's answer can't be read: it is no object")  # noqa: TRY004 - what it says
    return found
