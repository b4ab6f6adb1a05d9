"""What stands between a complete group and the start of its engines, where ``spec.preflight`` is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trireme_runtime.environment import Environment, Preflight
from trireme_runtime.group import Group
from trireme_runtime.preflight.report import Report
from trireme_runtime.preflight.run import Run
from trireme_runtime.termination import Cause


class Gate:
    """A leader opens it after the preflight of a group that stays the same meanwhile, a worker after its leader."""

    def __init__(
        self, environment: Environment, settings: Preflight, *, command: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        """``command`` and ``variables`` are the engine's."""
        self._environment = environment
        self._settings = settings
        self._run = Run(environment, settings, command=command, variables=variables)
        self._met: dict[int, str] | None = None
        self._over = False

    @property
    def running(self) -> bool:
        return self._run.running

    @property
    def began(self) -> bool:
        """Whether a leader proves the group that it has, or has done so."""
        return self._met is not None

    @property
    def report(self) -> Report | None:
        return self._run.report

    def cause(self) -> Cause | None:
        """Why the pod must end instead of starting its engine: the mode is Enforce, and something is wrong."""
        if not (self._over and self._settings.enforced and self.report is not None and not self.report.passed):
            return None
        return Cause("PreflightFailed", self._run.cause())

    def waits_for(self, now: float, group: Group | None) -> str:
        """Why the engine must not start yet; ``group`` is None where it is one pod."""
        if group is not None and not self._environment.is_leader:
            return self._follow(now, group)
        waits_for = "" if group is None else self._trouble(now, group)
        if waits_for:
            self._run.abort()
            self._met, self._over = None, False
            return waits_for
        if self._over:
            return "" if group is None else group.waits_for(now, self._met)
        others = {} if group is None else group.others()
        if not self._run.running:
            self._met = {index: other.pod_uid for index, other in others.items()}
        self._over = self._run.lead(now, others)
        return "" if self._over else self._run.doing(now)

    def _trouble(self, now: float, group: Group) -> str:
        """Silence does not count while a preflight runs: its own time limit does, and names who is silent."""
        return group.waits_for(now) if self._met is None else group.changed(now, self._met)

    def _follow(self, now: float, group: Group) -> str:
        leader = group.proving_leader()
        if leader is not None:
            self._run.follow(now, leader)
            return self._run.doing(now)
        waits_for = group.waits_for(now)
        if waits_for:
            self._run.abort()
        else:
            self._run.end()
        return waits_for
