"""What the leader of a group makes of what all launchers say: the next order, and the whole result. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trireme_runtime.preflight.report import Check, Exchange, Name, Order, Place, Program, Report, failures

MAX_CHECKS = 256
"""Most checks that a leader lists: those that failed first, then the slowest links. 128 pods have 8128 pairs."""


def places(pods: Mapping[int, Place]) -> tuple[Place, ...]:
    """All pods by index, once each says where it listens; before that, none."""
    known = all(place.port for place in pods.values())
    return tuple(pods[index] for index in sorted(pods)) if known else ()


def next_order(current: Order, said: Sequence[Exchange]) -> Order:
    """The order that follows ``current``; ``said`` is what each pod of the group said last, the leader included."""
    states = {each.program for each in said}
    if current in {Order.SKIP, Order.STOP}:
        return current
    if current is Order.MEASURE:
        return Order.STOP if Program.FAILED in states else Order.MEASURE
    if not all(each.connected for each in said):
        return Order.WAIT
    if not all(each.reached for each in said) or states & {Program.UNAVAILABLE, Program.FAILED, Program.NONE}:
        return Order.SKIP
    return Order.MEASURE if states == {Program.READY} else Order.WAIT


def unmeasured(said: Mapping[str, Exchange], *, required: bool) -> Check | None:
    """Why there is no bandwidth; None where there is nothing to measure. ``said`` by pod.

    required: a lower limit was set, so that a bandwidth that nobody knows is not good enough.
    """
    if all(each.program is Program.NONE for each in said.values()):
        return None
    closed = [pod for pod, each in said.items() if not each.reached]
    without = [pod for pod, each in said.items() if each.program is Program.UNAVAILABLE]
    if not closed and not without:
        return None
    pod = closed[0] if closed else without[0]
    why = "not all ports are open" if closed else said[pod].why
    return Check(Name.ALL_REDUCE.value, passed=not required, pod=pod, unit="GB/s", reason=f"not measured: {why}")


def missing(everyone: Mapping[str, Report | None], *, seconds: int) -> list[Check]:
    """A check for each pod that the others waited for when time was up; ``everyone`` by pod, None for unheard.

    Pods that named a failure of their own, and those that only waited, are not to blame.
    """
    late = {
        pod: report
        for pod, report in everyone.items()
        if report is None or not (report.exchange.done or failures(report.checks))
    }
    least = min((_progress(report) for report in late.values()), default=0)
    return [_late(pod, report, seconds) for pod, report in late.items() if _progress(report) == least]


def _progress(report: Report | None) -> int:
    if report is None:
        return 0
    if not report.exchange.connected:
        return 1
    return {Program.STARTING: 2, Program.READY: 3}.get(report.exchange.program, 4)


def _late(pod: str, report: Report | None, seconds: int) -> Check:
    measuring = report is not None and report.exchange.connected
    name = Name.ALL_REDUCE if measuring else Name.PORTS
    doing = "its processes did not finish measuring" if measuring else "its launcher did not finish connecting"
    return Check(name.value, passed=False, pod=pod, reason=f"{doing} within {seconds} s")


def together(checks: Sequence[Check]) -> tuple[Check, ...]:
    """All checks of a group for its leader to show: a link once, what failed first, then the slowest, then the rest."""
    links: dict[frozenset[str | None], Check] = {}
    kept = []
    for check in checks:
        if check.name != Name.PAIRWISE.value:
            kept.append(check)
            continue
        # Both ends may name a pair that hangs.
        link = frozenset((check.pod, check.peer))
        links[link] = min(check, links.get(link, check), key=lambda each: (each.passed, each.value is None, each.pod))
    return tuple(sorted([*kept, *links.values()], key=_rank)[:MAX_CHECKS])


def _rank(check: Check) -> tuple[bool, bool, float, str, str]:
    is_link = check.name == Name.PAIRWISE.value
    return (check.passed, is_link, check.value or 0.0 if is_link else 0.0, check.pod, check.name)


def message(checks: Sequence[Check]) -> str:
    """The first cause in a sentence: the checks that failed."""
    failed = failures(checks)
    shown = "; ".join(check.sentence() for check in failed[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""  # noqa: PLR2004
    return f"the preflight found: {shown}{more}"
