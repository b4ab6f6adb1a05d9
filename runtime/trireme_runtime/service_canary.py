"""A tiny completion through the Service of the pod's zone, when the operator asks for one: is the way in whole?"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from trireme_runtime import log
from trireme_runtime.canary import RETRY_SECONDS
from trireme_runtime.environment import Environment

SERVICE_PORT = 80
_QUESTION = re.compile(r"[A-Za-z0-9-]{1,64}")


class ServiceCanary:
    """One try for each question, which is any word; one that failed is made again when it is asked again.

    ``complete`` raises OSError or ValueError, and returns within its deadline. Any thread may ask.
    """

    def __init__(self, complete: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._complete = complete
        self._clock = clock
        self._lock = threading.Lock()
        self._running = False
        self._next = 0.0
        self._said: dict[str, object] = _said("")

    def as_json(self) -> dict[str, object]:
        """The last question and its answer; ``passed`` is null while there is none."""
        return self._said

    def ask(self, question: str) -> None:
        """Begin a try in a thread of its own, unless this question was answered, or one runs or failed just now."""
        if not _QUESTION.fullmatch(question):
            return
        with self._lock:
            same = self._said["question"] == question
            if self._running or (same and (self._said["passed"] or self._clock() < self._next)):
                return
            if not same:
                self._said = _said(question)
            self._running = True
        threading.Thread(target=self._try, args=(question,), name="service-canary", daemon=True).start()

    def _try(self, question: str) -> None:
        began = self._clock()
        reason = ""
        try:
            self._complete()
        except (OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
        ended = self._clock()
        seconds = round(ended - began, 3)
        log.say("A completion through the Service", passed=str(not reason), seconds=seconds, reason=reason)
        with self._lock:
            self._said = _said(
                question, passed=not reason, seconds=seconds, at=log.timestamp(time.time()), reason=reason
            )
            self._next = ended + RETRY_SECONDS
            self._running = False


def service_host(environment: Environment) -> str:
    """The Service of the pod's zone: it is called as the zone's LeaderWorkerSet, with ``-http`` behind."""
    set_name = environment.leader_address.partition(".")[0].rpartition("-")[0]
    return f"{set_name}-http.{environment.pod_namespace}.svc"


def _said(
    question: str, *, passed: bool | None = None, seconds: float | None = None, at: str | None = None, reason: str = ""
) -> dict[str, object]:
    return {"question": question, "passed": passed, "seconds": seconds, "at": at, "reason": reason}
