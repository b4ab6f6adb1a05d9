"""What this pod knows of its group and of its own engine: can it serve, and is there a reason to end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from trireme_runtime import canary
from trireme_runtime.canary import Canary
from trireme_runtime.ends import Signs
from trireme_runtime.environment import Environment
from trireme_runtime.group import Group
from trireme_runtime.service_canary import SERVICE_PORT, ServiceCanary, service_host
from trireme_runtime.stall import Stall, unexplained
from trireme_runtime.watch import EngineWatch


class Health:
    """Asked by the main loop; ``watch_engine`` once the engine runs. Times on the monotonic clock."""

    def __init__(self, environment: Environment, group: Group | None) -> None:
        self._environment = environment
        self.group = group
        self.engine: EngineWatch | None = None
        self.canary: Canary | None = None
        self.service_canary: ServiceCanary | None = None

    def watch_engine(self, command: Sequence[str], variables: Mapping[str, str] = os.environ) -> None:
        """The engine of a pod that answers HTTP has been started: ask it from now on."""
        environment = self._environment
        if not environment.serves:
            return
        host, port = environment.pod_ip, environment.engine_port
        self.engine = EngineWatch(
            host, port, silent_seconds=environment.member_silent_seconds, stall_seconds=environment.stall_seconds
        )
        if environment.canary_tokens:
            key = canary.api_key(command, variables)
            tokens = environment.canary_tokens
            self.canary = Canary(canary.completion(host, port, key=key, tokens=tokens))
            if environment.is_leader:
                service = service_host(environment)
                complete = canary.completion(service, SERVICE_PORT, key=key, tokens=tokens)
                self.service_canary = ServiceCanary(complete)

    def ask_service(self, question: str) -> None:
        """Somebody wants to know whether a completion passes through the zone's Service."""
        if self.service_canary is not None:
            self.service_canary.ask(question)

    def stall(self, now: float) -> Stall | None:
        """The engine does nothing, and no member's silence explains it."""
        stall = None if self.engine is None else self.engine.stalls.stall()
        if stall is None or self.group is None:
            return stall
        heard = self.group.roster.heard_since(now)
        return unexplained(stall, heard, now=now, limit=self._environment.stall_seconds)

    def broken(self, now: float) -> str:
        """Why the group cannot serve. The group first: a leader whose engine answers may have lost a worker."""
        trouble = "" if self.group is None else self.group.roster.obstacle(now)
        return trouble or self._engine_trouble(now)

    def obstacle(self, now: float) -> str:
        """Why this pod may not be counted: its group is broken, only just back, or not proven yet."""
        return self.broken(now) or self._not_moving() or self._unproven

    def engine_obstacle(self, now: float) -> str:
        """The same for the engine of this pod alone, which its leader counts on."""
        return self._engine_trouble(now) or self._unproven

    def prove(self, now: float) -> None:
        """Let the canary go: at a leader through a whole group, elsewhere through the pod's own engine."""
        if self.canary is not None:
            trouble = self.broken(now) if self._environment.is_leader else self._engine_trouble(now)
            if not trouble:
                self.canary.try_when_due(now)

    def signs(self, now: float) -> Signs:
        """What speaks for an end of the group, after this pod's engine has been started."""
        engine, roster = self.engine, None if self.group is None else self.group.roster
        unhealthy_for = 0.0 if engine is None or not engine.ever_healthy else engine.pulse.silent_for(now)
        return Signs(
            death=None if roster is None else roster.death(),
            lost=None if roster is None else roster.lost(now),
            stall=self.stall(now),
            unhealthy_for=unhealthy_for,
            unhealthy="" if engine is None else engine.pulse.trouble(now),
        )

    def _engine_trouble(self, now: float) -> str:
        if self.engine is None:
            return ""
        if trouble := self.engine.pulse.trouble(now):
            return trouble
        stall = self.stall(now)
        if stall is None:
            return ""
        return (
            f"the engine is stalled: {stall.running} requests run and nothing has moved for {now - stall.since:.0f} s"
        )

    def _not_moving(self) -> str:
        """A member that was away is back: its ranks may still hang, which the first step tells."""
        since = None if self.group is None else self.group.roster.steady_since()
        if since is None or self.engine is None or self.engine.stalls.has_moved_since(since):
            return ""
        return "a member is back after a silence, and the engine has not ended a step since"

    @property
    def _unproven(self) -> str:
        return "" if self.canary is None else self.canary.obstacle
