"""What stands between a pod and the start of its engine: the rest of its group, the operator's permit, a preflight."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trireme_runtime import command, permit
from trireme_runtime.environment import Environment
from trireme_runtime.group import Group
from trireme_runtime.permit import Held
from trireme_runtime.preflight.report import Report
from trireme_runtime.stage import Facts, Stage
from trireme_runtime.termination import Cause

if TYPE_CHECKING:
    from trireme_runtime.preflight.gate import Gate


class Gates:
    """Asked by the main loop until the engine starts. A preflight that has begun asks for no permit any more."""

    def __init__(self, environment: Environment, base_command: Sequence[str]) -> None:
        """``base_command``: the engine's, as the pod has it."""
        self._is_leader = environment.is_leader
        self._permit = permit.of_pod(environment)
        self._preflight: Gate | None = None
        if environment.preflight is not None:
            # A fifth of a launcher's start, and most pods have none.
            from trireme_runtime.preflight.gate import Gate  # noqa: PLC0415

            variables = command.engine_environment(os.environ)
            self._preflight = Gate(environment, environment.preflight, command=base_command, variables=variables)

    @property
    def held(self) -> Held | None:
        return None if self._permit is None else self._permit.held

    @property
    def report(self) -> Report | None:
        return None if self._preflight is None else self._preflight.report

    def facts(self, now: float, group: Group | None) -> Facts | None:
        """Why the engine must not start yet; None when it may. ``group`` is None where it is one pod."""
        proof = self._preflight
        if proof is None or (self._is_leader and not proof.began):
            if group is not None and (waits_for := group.waits_for(now)):
                return Facts(obstacle=waits_for)
            if self._permit is not None and (waits_for := self._permit.waits_for(now)):
                return Facts(obstacle=waits_for, before=Stage.WAITING if self.held is None else Stage.HELD)
        if proof is not None and (waits_for := proof.waits_for(now, group)):
            return Facts(obstacle=waits_for, before=Stage.PREFLIGHT if proof.running else Stage.WAITING)
        return None

    def cause(self) -> Cause | None:
        """Why the pod must end instead of starting its engine."""
        return None if self._preflight is None else self._preflight.cause()
