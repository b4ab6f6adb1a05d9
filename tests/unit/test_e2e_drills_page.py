"""The page of the drills is what the file of results says."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.drills import page

ROW: dict[str, Any] = {
    "drill": "worker-engine-killed",
    "engine": "double",
    "at": "2026-01-02T03:04:05+00:00",
    "requests": 100,
    "failed": 3,
    "out_of_rotation_seconds": 0.96,
    "weight_moved_seconds": 1.2,
    "recovered_seconds": None,
    "first_cause": "worker 1: a | b <c>\nd",
    "budget": {"out_of_rotation_seconds": 5.0, "recovered_seconds": None, "failed": 0},
    "passed": False,
    "why": "whole again: never seen",
}


def test_a_row_is_one_line_with_its_budget_and_its_date() -> None:
    lines = [line for line in page.render([ROW]).splitlines() if line.startswith("| worker-engine-killed |")]
    assert lines[0] == (
        "| worker-engine-killed | double | 3 of 100 | 1.0 s | 1.2 s | - | worker 1: a \\| b &lt;c> d |"
        " 0 failed, out 5 s | failed: whole again: never seen | 2026-01-02 |"
    )


def test_what_was_not_measured_is_named() -> None:
    text = page.render([ROW])
    assert "| worker-engine-killed | SIGKILL to a worker's engine | vllm |" in text
    assert "| load-node-drain | kubectl drain of a group's node | double, vllm |" in text


def test_rows_come_by_engine_and_in_the_order_of_the_drills() -> None:
    rows = [
        {**ROW, "engine": "vllm"},
        {**ROW, "drill": "operator-killed"},
        ROW,
        {**ROW, "drill": "of-an-older-version"},
    ]
    shown = [line.split(" | ")[:2] for line in page.render(rows).split("\n\n")[0].splitlines()[2:]]
    assert shown == [
        ["| worker-engine-killed", "double"],
        ["| operator-killed", "double"],
        ["| worker-engine-killed", "vllm"],
    ]


def test_only_what_is_between_the_marks_is_written() -> None:
    text = f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n"
    new = page.page(text, "table\n")
    assert new == f"before\n{page.BEGIN}\n\ntable\n\n{page.END}\nafter\n"
    assert page.page(new, "table\n") == new
    with pytest.raises(ValueError, match="put them back"):
        page.page("no marks", "table")


def test_a_page_that_is_not_what_the_results_say_fails_the_check(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results, file = tmp_path / "drills.json", tmp_path / "drills.md"
    results.write_text("[]")
    file.write_text(f"{page.BEGIN}\n{page.END}\n")
    monkeypatch.setattr(page, "RESULTS", results)
    monkeypatch.setattr(page, "PAGE", file)
    assert page.main(["--check"]) == 1
    assert "run python -m e2e.drills.page" in capsys.readouterr().err
    assert page.main([]) == 0
    assert page.main(["--check"]) == 0
