"""What the launcher says about its pod: one immutable snapshot, replaced by the main loop, read by the server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from trireme_runtime import log, stage
from trireme_runtime.canary import Result
from trireme_runtime.environment import CONTRACT_VERSION, Environment
from trireme_runtime.network import Network
from trireme_runtime.permit import Held
from trireme_runtime.preflight.report import Report
from trireme_runtime.ranks import Rank
from trireme_runtime.stage import Entry, Stage
from trireme_runtime.termination import Cause


@dataclass(frozen=True)
class Status:
    """``published`` on the monotonic clock; ``stages`` ends with the current one; ``command`` without secrets;
    ``stalled`` since (in seconds since the epoch) with how many requests running.
    """

    environment: Environment
    ranks: tuple[Rank, ...]
    command: tuple[str, ...]
    stage: Stage
    reason: str
    stages: tuple[Entry, ...]
    published: float
    engine_pid: int | None
    engine_running: bool
    engine_healthy: bool
    unfinished: int | None = None
    requests: int | None = None
    network: Network | None = None
    preflight: Report | None = None
    held: Held | None = None
    epoch: str | None = None
    ever_ready: bool = False
    members: tuple[dict[str, object], ...] = ()
    stalled: tuple[float, int] | None = None
    canary: Result | None = None
    service_canary: dict[str, object] | None = None
    failure: Cause | None = None

    @property
    def ready(self) -> bool:
        return stage.is_ready(self.stage, serves=self.environment.serves, engine_running=self.engine_running)

    def line(self) -> str:
        """Stage and reason in one line, the body of ``/readyz``."""
        return f"{self.stage.value}: {self.reason}" if self.reason else self.stage.value

    def as_json(self) -> bytes:
        """The body of ``/statusz``."""
        return json.dumps(self.document()).encode()

    def document(self) -> dict[str, Any]:
        """What ``/statusz`` says, and metrics are made from."""
        return {
            "contract": CONTRACT_VERSION,
            "role": self.environment.role,
            "serves": self.environment.serves,
            "stage": self.stage.value,
            "stageSince": log.timestamp(self.stages[-1].since),
            "reason": self.reason,
            "stages": [_entry(each) for each in self.stages],
            "cluster": self.environment.cluster,
            "zone": self.environment.zone,
            "pod": self.environment.pod_name,
            "podUID": self.environment.pod_uid,
            "nodeRank": self.environment.worker_index,
            "nodes": self.environment.group_size,
            "ranks": [rank.as_json() for rank in self.ranks],
            "command": list(self.command),
            "network": None if self.network is None else self.network.as_json(),
            "engine": {
                "pid": self.engine_pid,
                "running": self.engine_running,
                "healthy": self.engine_healthy,
                "unfinished": self.unfinished,
                "requests": self.requests,
            },
            "preflight": None if self.preflight is None else self.preflight.as_json(),
            "held": None if self.held is None else self.held.as_json(),
            "epoch": self.epoch,
            "everReady": self.ever_ready,
            "members": list(self.members),
            "stalled": _stalled(self.stalled),
            "canary": None if self.canary is None else self.canary.as_json(),
            "serviceCanary": self.service_canary,
            "failure": None if self.failure is None else self.failure.as_json(),
        }


def _stalled(stalled: tuple[float, int] | None) -> dict[str, object] | None:
    if stalled is None:
        return None
    since, running = stalled
    return {"since": log.timestamp(since), "running": running}


def _entry(entry: Entry) -> dict[str, object]:
    return {
        "stage": entry.stage.value,
        "since": log.timestamp(entry.since),
        "seconds": round(entry.seconds, 3),
        "bytes": entry.done,
        "totalBytes": entry.total,
    }
