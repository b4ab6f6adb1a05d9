"""OpenAI's answers, whole and streamed, in the shape that vLLM gives them."""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from tests.double.web import Connection

_WORDS = (
    "three",
    "banks",
    "of",
    "rowers",
    "pull",
    "and",
    "the",
    "ship",
    "goes",
    "where",
    "no",
    "oar",
    "could",
    "take",
    "it",
)
_PIECES = re.compile(r"\w+|[^\w\s]")


def tokenize(text: str) -> list[int]:
    """Token ids: one a word or sign, stable, without a meaning."""
    return [crc32(piece.encode()) % 32000 for piece in _PIECES.findall(text)]


def word(index: int) -> str:
    return f" {_WORDS[index % len(_WORDS)]}"


def error(status: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


@dataclass
class Answer:
    """The sink of one generation: writes each token at once when streaming, else everything at the end."""

    connection: Connection
    model: str
    chat: bool
    stream: bool
    usage_asked: bool
    prompt_tokens: int
    identifier: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))
    produced: int = 0
    _before: bytes = b""
    _after: bytes = b""

    def begin(self) -> None:
        """Open the stream; the text of a chunk is put between two halves made once."""
        if not self.stream:
            return
        self.connection.begin_stream()
        if self.chat:
            self._event(self._chunk({"role": "assistant", "content": ""}, None))
        mark = "\x00"
        piece: Any = {"content": mark} if self.chat else mark
        before, after = json.dumps(self._chunk(piece, None)).split(json.dumps(mark))
        self._before, self._after = f"data: {before}".encode(), f"{after}\n\n".encode()

    def token(self, index: int) -> None:
        self.produced += 1
        if self.stream:
            self.connection.send(self._before + json.dumps(word(index)).encode() + self._after)

    def finish(self, reason: str) -> None:
        if not self.stream:
            self.connection.answer(200, self._whole(reason))
            return
        self._event(self._chunk({"content": ""} if self.chat else "", reason))
        if self.usage_asked:
            self._event({**self._head("chunk"), "choices": [], "usage": self._usage()})
        self.connection.send(b"data: [DONE]\n\n")
        self.connection.end_stream()

    def fail(self, message: str) -> None:
        document = error(500, "InternalServerError", message)
        if not self.stream:
            self.connection.answer(500, document)
            return
        self._event(document)
        self.connection.send(b"data: [DONE]\n\n")
        self.connection.end_stream()

    def _event(self, document: dict[str, Any]) -> None:
        self.connection.send(f"data: {json.dumps(document)}\n\n".encode())

    def _head(self, suffix: str = "") -> dict[str, Any]:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if suffix else "chat.completion"
        identifier = f"{'chatcmpl' if self.chat else 'cmpl'}-{self.identifier}"
        return {"id": identifier, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, piece: Any, reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta" if self.chat else "text": piece, "logprobs": None, "finish_reason": reason}
        return {**self._head("chunk"), "choices": [{**choice, "stop_reason": None}]}

    def _whole(self, reason: str) -> dict[str, Any]:
        text = "".join(word(index) for index in range(self.produced))
        piece: Any = {"role": "assistant", "content": text} if self.chat else text
        choice = {"index": 0, "message" if self.chat else "text": piece, "logprobs": None, "finish_reason": reason}
        return {**self._head(), "choices": [{**choice, "stop_reason": None}], "usage": self._usage()}

    def _usage(self) -> dict[str, int]:
        total = self.prompt_tokens + self.produced
        return {"prompt_tokens": self.prompt_tokens, "total_tokens": total, "completion_tokens": self.produced}
