"""A preflight's result as Prometheus text: on a leader the group's, on a worker the pod's own."""

from __future__ import annotations

from trireme_runtime.metrics import head, labels
from trireme_runtime.preflight.report import GIGA, Check, Report

_CHECK = "trireme_launcher_preflight_check_passed"
_BANDWIDTH = "trireme_launcher_preflight_bandwidth_bytes_per_second"
_LATENCY = "trireme_launcher_preflight_latency_seconds"


def lines(report: Report | None) -> list[str]:
    """Nothing before the preflight is over, or where there is none."""
    if report is None or report.passed is None:
        return []
    found = head("trireme_launcher_preflight_passed", "1 when everything that the preflight checked is good, else 0.")
    found.append(f"trireme_launcher_preflight_passed {int(report.passed)}")
    found += head("trireme_launcher_preflight_seconds", "How long the preflight took.")
    found.append(f"trireme_launcher_preflight_seconds {report.seconds:.1f}")
    # A pod may have several of one name, one for each peer that it cannot reach.
    passed: dict[str, bool] = {}
    for check in report.checks:
        key = _labels(check)
        passed[key] = check.passed and passed.get(key, True)
    found += head(_CHECK, "1 when this check is good, else 0; a link has the label peer.")
    found += [f"{_CHECK}{key} {int(good)}" for key, good in passed.items()]
    speeds = [check for check in report.checks if check.unit == "GB/s" and check.value is not None]
    if speeds:
        found += head(_BANDWIDTH, "Bandwidth between two pods (pairwise) and of all ranks together (allReduce).")
        found += [f"{_BANDWIDTH}{_labels(check)} {(check.value or 0.0) * GIGA:.0f}" for check in speeds]
    links = [check for check in report.checks if check.latency is not None]
    if links:
        found += head(_LATENCY, "Time of a small message from one pod to the other.")
        found += [f"{_LATENCY}{_labels(check)} {check.latency:.7f}" for check in links]
    return found


def _labels(check: Check) -> str:
    return labels({"check": check.name, "pod": check.pod, "peer": check.peer or ""})
