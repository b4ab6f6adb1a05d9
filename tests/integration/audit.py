"""What the API server of the tests wrote down about some of its users."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster.controlplane import ControlPlane
from trireme_operator.kube import Obj

_GROUP = "audited"
POLICY: Obj = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "Panic"],
    "rules": [{"level": "Metadata", "userGroups": [_GROUP]}],
}
"""With the starts of answers, because a watch has no end while its operator runs."""


def audited(plane: ControlPlane, user: str) -> Path:
    """The kubeconfig of a user whose requests are written down."""
    return plane.client(user, common_name=user, organization=_GROUP)


class Trail:
    """What one user did from now on; each answer is read once."""

    def __init__(self, plane: ControlPlane, user: str) -> None:
        self._log = plane.audit_log
        self._user = user
        self._mark = f'"username":"{user}"'.encode()
        self._read = self._log.stat().st_size if self._log.exists() else 0
        self._events: list[Obj] = []

    def events(self) -> list[Obj]:
        """All of them until now, in the order in which they were answered."""
        self._events.extend(self._more())
        return self._events

    def _more(self) -> Iterator[Obj]:
        if not self._log.exists():
            return
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            if self._mark in line:
                event: Obj = json.loads(line)
                if event["user"]["username"] == self._user:
                    yield event
