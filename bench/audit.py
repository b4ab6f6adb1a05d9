"""What changed on the API server, and by whom: its own audit log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MUTATING = ("create", "update", "patch", "delete", "deletecollection")
POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted", "Panic"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}],
}
"""Requests of the users that are measured, when they are done."""


@dataclass(frozen=True)
class Request:
    """One request, as the API server saw it."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    @property
    def mutating(self) -> bool:
        """Whether it asked for a change; that nothing came of it doesn't matter. A review of rights stores nothing."""
        return self.verb in MUTATING and not self.resource.startswith("selfsubject")


class AuditLog:
    """Reads the log from where it was last read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0

    def new(self, user: str) -> list[Request]:
        """The user's requests since the last call, whoever's they are being passed over."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as log:
            log.seek(self._offset)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]  # a line that is just being written comes the next time
        self._offset += len(whole)
        return [request for request in parse(whole.decode().splitlines()) if request.user == user]


def parse(lines: Iterable[str]) -> list[Request]:
    """The finished requests in lines of an audit log."""
    events = [json.loads(line) for line in lines]
    return [_request(event) for event in events if event.get("stage") == "ResponseComplete"]


def summary(requests: Iterable[Request]) -> dict[str, int]:
    """How many of each kind, the most frequent first."""
    counts = Counter(f"{request.verb} {request.resource}" for request in requests)
    return dict(counts.most_common())


def _request(event: dict[str, Any]) -> Request:
    ref = event.get("objectRef") or {}
    return Request(
        user=event["user"]["username"],
        verb=event["verb"],
        resource="/".join(part for part in (ref.get("resource", ""), ref.get("subresource", "")) if part),
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        code=int((event.get("responseStatus") or {}).get("code") or 0),
    )
