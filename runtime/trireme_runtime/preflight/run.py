"""The preflight as the launcher's main loop holds it: a leader leads it, a worker follows, both may break it off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trireme_runtime import processes
from trireme_runtime.environment import Environment, Preflight
from trireme_runtime.log import say
from trireme_runtime.preflight import orders
from trireme_runtime.preflight.part import Part
from trireme_runtime.preflight.report import Check, Exchange, Order, Other, Place, Report, failures

_LATE_SECONDS = 10
"""How much longer than the leader a worker goes on: the leader's judgement names who was late."""


class Run:
    """At most one preflight at a time; ``report`` is the last one's, None before the first."""

    def __init__(
        self, environment: Environment, settings: Preflight, *, command: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        """``command`` and ``variables`` are the engine's."""
        self.report: Report | None = None
        self._environment = environment
        self._settings = settings
        self._command = command
        self._variables = variables
        self._part: Part | None = None
        self._order = Order.WAIT
        self._began = 0.0
        self._number = 0

    @property
    def running(self) -> bool:
        return self._part is not None

    def doing(self, now: float) -> str:
        return "" if self._part is None else self._part.doing(now)

    def lead(self, now: float, others: Mapping[int, Other]) -> bool:
        """One step of the leader's; True when the preflight is over and ``report`` says how."""
        environment = self._environment
        if self._part is None:
            self._number += 1
        part = self._part or self._begin(now, f"{environment.pod_uid}/{self._number}", environment.pod_ip)
        own = part.exchange(now)
        reports = {index: _of(part.epoch, other) for index, other in others.items()}
        heard = {index: Exchange() if report is None else report.exchange for index, report in reports.items()}
        places = {0: Place(environment.pod_name, environment.pod_ip, own.port)}
        places |= {index: Place(others[index].pod, others[index].address, heard[index].port) for index in others}
        pods = orders.places(places)
        late = now - self._began > self._settings.timeout_seconds
        self._order = Order.STOP if late else orders.next_order(self._order, [own, *heard.values()])
        part.step(now, pods, self._order)
        own = replace(part.exchange(now), pods=pods, order=self._order)
        if late or (own.done and all(each.done for each in heard.values())):
            self._conclude(now, own, {others[index].pod: report for index, report in reports.items()})
            return True
        self.report = self._report(now, part.checks(now), own)
        return False

    def follow(self, now: float, leader: Other) -> None:
        """One step of a worker's, as its leader's launcher says."""
        heard = leader.report.exchange if leader.report is not None else Exchange()
        if self._part is not None and self._part.epoch != heard.epoch:
            self.abort()
        part = self._part or self._begin(now, heard.epoch, leader.address)
        late = now - self._began > self._settings.timeout_seconds + _LATE_SECONDS
        part.step(now, heard.pods, Order.STOP if late else heard.order)
        own = part.exchange(now)
        report = self._report(now, part.checks(now), own)
        self.report = replace(report, passed=not failures(report.checks)) if own.done else report

    def abort(self) -> None:
        """Break off what runs; what is not finished says nothing."""
        if self.running and self.report is not None and self.report.passed is None:
            self.report = None
        self.end()

    def end(self) -> None:
        """Before this returns no process of what ran is left, and its ports are free."""
        if self._part is None:
            return
        self._part.end()
        self._part = None
        self._order = Order.WAIT
        processes.kill_all()

    def cause(self) -> str:
        """What failed, in a sentence."""
        return "" if self.report is None else orders.message(self.report.checks)

    def _begin(self, now: float, epoch: str, leader_address: str) -> Part:
        say("Preflight", mode=self._settings.mode, timeoutSeconds=self._settings.timeout_seconds)
        self._began = now
        self._part = Part(
            self._environment,
            self._settings,
            command=self._command,
            variables=self._variables,
            epoch=epoch,
            leader_address=leader_address,
        )
        return self._part

    def _conclude(self, now: float, own: Exchange, others: Mapping[str, Report | None]) -> None:
        """All that was found in the group, and what is missing of it."""
        settings, environment = self._settings, self._environment
        part = self._part
        checks: list[Check] = [] if part is None else part.checks(now)
        mine = self._report(now, checks, own)
        everyone: dict[str, Report | None] = {environment.pod_name: mine, **others}
        for report in others.values():
            checks += () if report is None else report.checks
        said = {pod: report.exchange for pod, report in everyone.items() if report is not None}
        without = orders.unmeasured(said, required=settings.min_bandwidth > 0)
        checks += () if without is None else (without,)
        checks += orders.missing(everyone, seconds=settings.timeout_seconds)
        shown = orders.together(checks)
        self.report = replace(self._report(now, shown, own), passed=not failures(shown))
        for check in failures(shown):
            say("The preflight found a fault", check=check.name, where=check.where(), reason=check.reason)
        say("Preflight over", passed=str(self.report.passed), seconds=round(self.report.seconds, 1))
        self.end()

    def _report(self, now: float, checks: Sequence[Check], exchange: Exchange) -> Report:
        return Report(self._settings.mode, None, now - self._began, tuple(checks), exchange)


def _of(epoch: str, other: Other) -> Report | None:
    """What another pod says of this preflight; None while it is at an earlier one, or at none."""
    report = other.report
    return report if report is not None and report.exchange.epoch == epoch else None
