"""What is told of a step of the load, from what was seen of it."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

from e2e.api import ApiError
from e2e.drills import scaling_page
from e2e.drills.queue_step import Gauge, Queues, Sample, Step, Witness, by_zone, faults, measure
from e2e.drills.record import Seen
from e2e.drills.traffic import Request

ZONE = {"trireme.dev/zone": "a"}
DONE = Step(patched=6.0, asked=6.0, ready=30.0, fell=31.0, longest=12, after=6, down=9.0, ended=12.0)
GOOD = Request(0.0, 1.0, "")


def number(at: float, replicas: int, zone: str = "a") -> Seen:
    metadata = {"name": f"m-{zone}", "labels": {"trireme.dev/zone": zone}}
    return Seen(at, "MODIFIED", {"metadata": metadata, "spec": {"replicas": replicas}})


def pod(at: float, group: int, *, ready: bool = True, kind: str = "MODIFIED") -> Seen:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    metadata = {"name": f"m-a-{group}", "uid": str(group), "labels": ZONE}
    return Seen(at, kind, {"metadata": metadata, "status": {"conditions": conditions}})


def samples(**at: list[int]) -> list[Sample]:
    return [Sample(float(time_.removeprefix("t")), {"a": queue}) for time_, queue in at.items()]


WITNESS = Witness(
    queues=samples(t1=[0], t10=[3], t11=[8], t15=[12], t29=[12], t31=[12, 0], t40=[10, 2], t42=[7, 5], t61=[1, 0]),
    sets=[number(0, 1), number(14, 1, "b"), number(16.5, 2), number(17, 9, "b"), number(70, 1)],
    pods=[pod(0, 0), pod(18, 1, ready=False), pod(30, 1), pod(72, 1, ready=False), pod(75, 1, kind="DELETED")],
)


def test_each_time_counts_from_the_metric_or_from_the_lighter_load() -> None:
    found = measure(WITNESS, "a", target=4, most=2, began=9, lighter=60)
    assert found == Step(patched=5.5, asked=5.5, ready=19.0, fell=31.0, longest=12, after=7, down=10.0, ended=15.0)
    assert found.row()["fell_seconds"] == 31.0
    assert faults(found, [GOOD]) == ()


def test_what_has_not_happened_yet_has_no_time() -> None:
    early = Witness(WITNESS.queues[:5], WITNESS.sets[:2], WITNESS.pods[:2])
    found = measure(early, "a", target=4, most=2, began=9, lighter=float("inf"))
    assert (found.patched, found.ready, found.fell, found.down) == (None, None, None, None)
    assert len(faults(found, [GOOD])) == 6
    with pytest.raises(ValueError, match=r"no leader of a had more than 20 requests: .*61.0: \{'a': \[1, 0\]\}"):
        measure(WITNESS, "a", target=20, most=2, began=9, lighter=60)


def test_an_autoscaler_that_looked_between_two_of_our_looks_was_not_early() -> None:
    quick = Witness(WITNESS.queues, [number(0, 1), number(10.9, 2), number(70, 1)], WITNESS.pods)
    assert measure(quick, "a", target=4, most=2, began=9, lighter=60).patched == 0.0


@pytest.mark.parametrize(
    ("step", "requests", "says"),
    [
        pytest.param({"patched": 16.5}, [GOOD], "16.5 s after the metric, at most 16 s", id="late"),
        pytest.param({"fell": None}, [GOOD], "never the queue fell", id="never"),
        pytest.param({}, [GOOD, Request(0, 1, "status 503: x")], "1 of 2 requests failed: status 503", id="failed"),
        pytest.param({}, [], "no request was sent", id="nothing sent"),
    ],
)
def test_what_was_promised_and_not_kept_is_said(step: dict[str, Any], requests: list[Request], says: str) -> None:
    (found,) = faults(dataclasses.replace(DONE, **step), requests)
    assert says in found


def test_values_are_told_by_zone() -> None:
    items = [
        {"describedObject": {"name": f"m-{pod}"}, "value": value}
        for pod, value in (("zone-b-0", "3"), ("zone-b-1", "0"), ("zone-c-0", "7"), ("zone-d-0", "1"))
    ]
    assert by_zone(items, "m", ["zone-b", "zone-c", "zone-e"]) == {"zone-b": [3, 0], "zone-c": [7], "zone-e": []}


def test_queues_are_asked_for_again_and_again_though_nobody_answers_once() -> None:
    answers: list[Queues] = [{"a": [2]}, {"a": [1]}]
    refused: list[int] = []

    def read() -> Queues:
        if not refused:
            refused.append(1)
            raise ApiError("GET", "x", 503, "")
        return answers.pop() if answers else {"a": [3]}

    with Gauge(read) as gauge:
        deadline = time.monotonic() + 20
        while len(gauge.samples) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert [dict(each.queues) for each in gauge.samples[:2]] == [{"a": [1]}, {"a": [2]}]


# ---- the page ----------------------------------------------------------------------------------------------

STEP = DONE.row() | {
    "engine": "vllm",
    "run": 1,
    "zone": "zone-a",
    "groups": 2,
    "requests": 100,
    "failed": 0,
    "at": "2026-01-02T03:04:05+00:00",
    "why": "",
}
OUTAGE = {
    "outage": "hung",
    "groups": "3 and 3",
    "namespace_seconds": 9.3,
    "kubectl_seconds": 0.4,
    "said_seconds": None,
    "registered_seconds": 61.0,
    "healed_seconds": 70.2,
    "requests": 500,
    "failed": 0,
    "at": "2026-01-02T03:04:05+00:00",
}


def test_a_row_of_the_page_is_one_line() -> None:
    lines = scaling_page.render({"steps": [STEP], "outages": [OUTAGE]}).splitlines()
    assert lines[2] == (
        "| vllm 1 | zone-a | 1 to 2 to 1 | 6.0 s | 6.0 s | 30.0 s | 12 to 6 | 31.0 s | 9.0 s | 12.0 s |"
        " 0 of 100 | passed | 2026-01-02 |"
    )
    assert lines[-1] == "| hung | 3 and 3 | 9.3 s | 0.4 s | - | 61.0 s | 70.2 s | 0 of 500 | 2026-01-02 |"
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    failed = scaling_page.render({"steps": [STEP | {"why": "never | seen", "queue_after": None}], "outages": []})
    assert "| 12 to - |" in failed
    assert "| failed: never \\| seen |" in failed


def test_what_has_not_been_run_has_no_row() -> None:
    assert scaling_page.render({"steps": [], "outages": []}) == "Nothing has been measured yet."
    assert "namespace" not in scaling_page.render({"steps": [STEP], "outages": []})


def test_a_new_run_replaces_its_own_row_only(tmp_path: Path) -> None:
    file = tmp_path / "results" / "autoscaling.json"
    scaling_page.write("steps", [STEP, STEP | {"run": 2}], file)
    scaling_page.write("outages", [OUTAGE], file)
    scaling_page.write("steps", [STEP | {"run": 2, "failed": 7}, STEP | {"engine": "double"}], file)
    known = json.loads(file.read_text())
    assert [(row["engine"], row["run"], row["failed"]) for row in known["steps"]] == [
        ("double", 1, 0),
        ("vllm", 1, 0),
        ("vllm", 2, 7),
    ]
    assert known["outages"] == [OUTAGE]


def test_a_page_that_is_not_what_the_results_say_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results, file = tmp_path / "autoscaling.json", tmp_path / "autoscaling.md"
    file.write_text(f"before\n{scaling_page.BEGIN}\n<!-- end -->\nafter\n")
    monkeypatch.setattr(scaling_page, "RESULTS", results)
    monkeypatch.setattr(scaling_page, "PAGE", file)
    assert scaling_page.main(["--check"]) == 1
    assert "run python -m e2e.drills.scaling_page" in capsys.readouterr().err
    assert scaling_page.main([]) == 0
    assert scaling_page.main(["--check"]) == 0
    assert "Nothing has been measured yet." in file.read_text()
