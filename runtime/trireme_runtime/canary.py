"""One tiny completion through the engine before its pod is first called ready: ``/health`` does not ask the ranks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trireme_runtime import fetch, log

DEADLINE_SECONDS = 60.0
"""For one try. The first request of a new group may still compile something."""

RETRY_SECONDS = 2.0
_PROMPT = "Hello"
_MODELS_SECONDS = 5.0
_OK = 200
_NOT_FOUND = 404
_KEY_FLAG = "--api-key"
_SHORTEST_KEY_FLAG = "--api-k"


@dataclass(frozen=True)
class Result:
    """The last try: ``seconds`` it took, ``at`` in seconds since the epoch, ``reason`` why it failed."""

    passed: bool
    seconds: float
    at: float
    reason: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "at": log.timestamp(self.at),
            "reason": self.reason,
        }


class Canary:
    """Tries again until it passes once. ``complete`` raises OSError or ValueError, and returns within its deadline."""

    def __init__(self, complete: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._complete = complete
        self._clock = clock
        self._running = False
        self._next = 0.0
        self.result: Result | None = None

    @property
    def passed(self) -> bool:
        return self.result is not None and self.result.passed

    @property
    def obstacle(self) -> str:
        """Why the pod is not proven yet, or an empty text."""
        if self.passed:
            return ""
        failed = "" if self.result is None else f"; the last one failed: {self.result.reason}"
        return f"waiting for a canary completion{failed}"

    def try_when_due(self, now: float) -> None:
        """Begin a try in a thread of its own, if none runs and the last one has failed a while ago."""
        if not self.passed and not self._running and now >= self._next:
            self._running = True
            threading.Thread(target=self._try, name="canary", daemon=True).start()

    def _try(self) -> None:
        began = self._clock()
        reason = ""
        try:
            self._complete()
        except (OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
        ended = self._clock()
        log.say("The canary completion", passed=str(not reason), seconds=round(ended - began, 3), reason=reason)
        self._next = ended + RETRY_SECONDS
        self._running = False
        self.result = Result(not reason, ended - began, time.time(), reason)  # last: who sees it may try again


def completion(host: str, port: int, *, key: str, tokens: int) -> Callable[[], None]:
    """Asks the engine at an address for ``tokens`` tokens; the call raises ValueError with what went wrong."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def complete() -> None:
        try:
            models = fetch.Request("/v1/models", headers=headers)
            name = _first_model(fetch.ask(host, port, models, timeout_seconds=_MODELS_SECONDS))
            body = {"model": name, "prompt": _PROMPT, "max_tokens": tokens, "temperature": 0}
            request = fetch.Request("/v1/completions", json.dumps(body).encode(), headers)
            answer = fetch.ask(host, port, request, timeout_seconds=DEADLINE_SECONDS)
        except (fetch.RefusedError, fetch.UnreachableError) as error:
            raise ValueError(str(error)) from None
        _check(answer)

    return complete


def api_key(command: Sequence[str], variables: Mapping[str, str]) -> str:
    """The engine's first key: of its command line, else of its environment; empty when it asks for none.

    vLLM takes ``_`` for ``-`` in flags, a flag's beginning for the flag while no other begins so, and several keys
    behind one flag (vllm/entrypoints/openai/cli_args.py).
    """
    found = ""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if _SHORTEST_KEY_FLAG in flag.replace("_", "-") and _KEY_FLAG.startswith(flag.replace("_", "-")):
            found = value if equals else following
    return found or variables.get("VLLM_API_KEY", "")


def _first_model(answer: fetch.Answer) -> str:
    try:
        return str(_document(answer, "/v1/models")["data"][0]["id"])
    except (KeyError, IndexError, TypeError):
        raise ValueError("/v1/models names no model") from None


def _check(answer: fetch.Answer) -> None:
    try:
        text = _document(answer, "/v1/completions")["choices"][0]["text"]
    except (KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        raise ValueError("/v1/completions gave no completion")  # noqa: TRY004 - what the engine said is no type error


def _document(answer: fetch.Answer, path: str) -> Any:
    if answer.status != _OK:
        text = " ".join(answer.body[:200].decode("utf-8", errors="replace").split())
        way_out = "; a model that completes no text needs spec.health.canary.mode: Off"
        raise ValueError(f"{path} answers {answer.status}: {text}{way_out if answer.status == _NOT_FOUND else ''}")
    try:
        return json.loads(answer.body)
    except ValueError:
        raise ValueError(f"{path} answers with what is no JSON") from None
