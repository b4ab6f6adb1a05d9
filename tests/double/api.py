"""The HTTP surface of a leader: vLLM's paths, and ``/double/...`` to misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from tests.double import answers
from tests.double.controls import Controls
from tests.double.flags import Settings
from tests.double.measure import Metrics
from tests.double.scheduler import Generation, Scheduler
from tests.double.web import Connection, Request

VERSION = "0.32.0+double"
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_COMPLETION_DEFAULT_TOKENS = 16
Command = Callable[[str, dict[str, str]], str]


class Api:
    """``draining`` and the scheduler's ``dead`` decide what new requests get; ``command`` obeys ``/double/<verb>``."""

    def __init__(
        self, settings: Settings, controls: Controls, scheduler: Scheduler, metrics: Metrics, command: Command
    ) -> None:
        self._settings = settings
        self._controls = controls
        self._scheduler = scheduler
        self._metrics = metrics
        self._command = command
        self.draining = False
        self._get = {
            "/health": self._health,
            "/ping": self._health,
            "/load": lambda connection: connection.answer(200, {"server_load": 0}),
            "/version": lambda connection: connection.answer(200, {"version": VERSION}),
            "/v1/models": self._models,
            "/metrics": self._show_metrics,
            "/double/state": self._state,
        }

    def handle(self, request: Request, connection: Connection) -> None:
        """Answer one request, now or later."""
        if request.path.startswith("/v1") and not self._authorized(request):
            connection.answer(401, {"error": "Unauthorized"})
        elif request.method in {"GET", "HEAD"} and request.path in self._get:
            self._get[request.path](connection)
        elif request.method == "POST" and request.path.startswith("/double/"):
            self._obey(request, connection)
        elif request.method == "POST" and request.path == "/tokenize":
            self._with_json(request, connection, self._tokenize)
        elif request.method == "POST" and request.path in {"/v1/completions", "/v1/chat/completions"}:
            self._with_json(request, connection, self._generate)
        else:
            connection.answer(404, {"detail": "Not Found"})

    def _authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return not self._settings.api_keys or (scheme.lower() == "bearer" and token in self._settings.api_keys)

    def _with_json(
        self, request: Request, connection: Connection, use: Callable[[Request, dict[str, Any], Connection], None]
    ) -> None:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            text = "Unsupported Media Type: Only 'application/json' is allowed"
            connection.answer(400, answers.error(400, "BadRequestError", text))
            return
        try:
            use(request, request.json(), connection)
        except (ValueError, KeyError, TypeError) as error:
            connection.answer(400, answers.error(400, "BadRequestError", str(error)))

    def _obey(self, request: Request, connection: Connection) -> None:
        verb = request.path.removeprefix("/double/")
        values = {name: texts[-1] for name, texts in parse_qs(request.query).items()}
        fault = self._command(verb, values)
        connection.answer(400 if fault else 200, {"error": fault} if fault else {"done": verb})

    def _health(self, connection: Connection) -> None:
        connection.answer(503 if self._scheduler.dead or self._controls.unhealthy else 200, b"", _TEXT)

    def _models(self, connection: Connection) -> None:
        created = int(time.time())
        models = [
            {
                "id": name,
                "object": "model",
                "created": created,
                "owned_by": "vllm",
                "root": self._settings.model,
                "parent": None,
                "max_model_len": self._settings.max_model_len,
            }
            for name in self._settings.served_names
        ]
        connection.answer(200, {"object": "list", "data": models})

    def _show_metrics(self, connection: Connection) -> None:
        told = self._scheduler.told
        text = self._metrics.text(running=told.running, waiting=told.waiting, kv_usage=told.kv_usage)
        connection.answer(200, b"" if self._controls.no_metrics else text, _TEXT)

    def _state(self, connection: Connection) -> None:
        scheduler = self._scheduler
        state = {"running": scheduler.running, "waiting": scheduler.waiting, "broken": scheduler.broken}
        connection.answer(200, {**state, "draining": self.draining})

    def _tokenize(self, _request: Request, body: dict[str, Any], connection: Connection) -> None:
        tokens = answers.tokenize(_prompt_text(body))
        length = self._settings.max_model_len
        connection.answer(200, {"count": len(tokens), "max_model_len": length, "tokens": tokens, "token_strs": None})

    def _generate(self, request: Request, body: dict[str, Any], connection: Connection) -> None:
        chat = request.path == "/v1/chat/completions"
        model = body.get("model") or self._settings.served_names[0]
        if model not in self._settings.served_names:
            text = f"The model `{model}` does not exist."
            connection.answer(404, answers.error(404, "NotFoundError", text))
        elif self._controls.refuse:
            connection.answer(503, answers.error(503, "ServiceUnavailableError", "the double was told to refuse"))
        elif self.draining or self._scheduler.dead:
            text = "cannot schedule new futures after shutdown"
            connection.answer(500, answers.error(500, "InternalServerError", text))
        else:
            self._start(model, body, connection, chat=chat)

    def _start(self, model: str, body: dict[str, Any], connection: Connection, *, chat: bool) -> None:
        if int(body.get("n") or 1) != 1:
            raise ValueError("the double gives one choice: n must be 1")
        prompt = _prompt_tokens(body)
        limit, reason = self._limit(body, prompt, chat=chat)
        usage_asked = bool((body.get("stream_options") or {}).get("include_usage"))
        stream = bool(body.get("stream"))
        answer = answers.Answer(connection, model, chat, stream, usage_asked, prompt)
        generation = Generation(prompt, limit, reason, answer)
        answer.begin()
        connection.on_gone = lambda: self._scheduler.abort(generation)
        self._scheduler.add(generation)

    def _limit(self, body: dict[str, Any], prompt: int, *, chat: bool) -> tuple[int, str]:
        """How many tokens the answer has, and whether it ends by length or by itself."""
        room = self._settings.max_model_len - prompt
        asked = body.get("max_completion_tokens") or body.get("max_tokens")
        if asked is None and not chat:
            asked = _COMPLETION_DEFAULT_TOKENS
        if (asked is not None and int(asked) > room) or room < 1:
            raise ValueError(
                f"This model's maximum context length is {self._settings.max_model_len} tokens. However, you requested "
                f"{asked or 1} output tokens and your prompt contains {prompt} input tokens."
            )
        longest = room if asked is None else int(asked)
        natural = max(self._controls.answer_tokens, int(body.get("min_tokens") or 0))
        if body.get("ignore_eos") or natural >= longest:
            return longest, "length"
        return natural, "stop"


def _prompt_text(body: dict[str, Any]) -> str:
    if "messages" in body:
        return "\n".join(f"{message['role']}: {message['content']}" for message in body["messages"])
    return str(body["prompt"])


def _prompt_tokens(body: dict[str, Any]) -> int:
    prompt = body.get("prompt")
    if isinstance(prompt, list):
        if all(isinstance(token, int) for token in prompt):
            return len(prompt)
        if len(prompt) != 1:
            raise ValueError("the double takes one prompt a request")
        return len(answers.tokenize(str(prompt[0])))
    return len(answers.tokenize(_prompt_text(body)))
