"""The script for real GPUs, as far as it needs none: what pods are told, what is judged, how it is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from e2e.gpu import bare, contest, drills, memory, pods, processes, report, shapes, throughput
from e2e.gpu.machine import Machine
from trireme_runtime import environment, wiring

GIB = 1 << 30
CHOSEN_BY_THE_LAUNCHER = {"--distributed-timeout-seconds", "--distributed-executor-backend"}
PLACES = {"--master-addr", "--master-port", "--data-parallel-address", "--data-parallel-rpc-port"}


def machine(folder: Path) -> Machine:
    return Machine(folder, rehearsal=False, devices=4, device_bytes=140 * GIB)


def group(layout: shapes.Layout, folder: Path) -> pods.Group:
    here = machine(folder)
    cluster = pods.resource(layout, here, folder / "model", engine={"config": {"gpuMemoryPercent": 60}})
    return pods.Group(layout, here, cluster, network=31, folder=folder)


def told(layout: shapes.Layout, folder: Path, index: int) -> dict[str, str]:
    made = group(layout, folder)
    return made._environment(index, made._containers[min(index, 1)]["env"])


def flags(words: list[str]) -> dict[str, str]:
    """Values by flag, without those that differ between any two starts."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    found = {word: "" if value.startswith("--") else value for word, value in pairs if word.startswith("--")}
    return {name: "" if name in PLACES else found[name] for name in found if name not in CHOSEN_BY_THE_LAUNCHER}


@pytest.mark.parametrize("layout", shapes.LAYOUTS, ids=lambda layout: layout.name)
def test_the_launcher_takes_what_each_pod_is_told_and_bare_vllm_gets_the_same_ranks(
    layout: shapes.Layout, tmp_path: Path
) -> None:
    by_hand = bare.Bare(layout, machine(tmp_path), tmp_path / "bare", network=32, settings=[], homes=[])
    shown = []
    for index in range(layout.pods):
        variables = told(layout, tmp_path, index)
        parsed = environment.parse(variables)
        assert (parsed.worker_index, parsed.group_size) == (index, layout.pods)
        assert flags(wiring.flags(parsed)) == flags(by_hand._flags(index))
        shown += variables["CUDA_VISIBLE_DEVICES"].split(",")
    assert shown == [str(rank) for rank in range(layout.world)]


def test_two_starts_of_a_pod_are_two_pods(tmp_path: Path) -> None:
    assert (
        told(shapes.TWO_PODS, tmp_path, 0)["TRIREME_POD_UID"] != told(shapes.TWO_PODS, tmp_path, 0)["TRIREME_POD_UID"]
    )


def output(layout: shapes.Layout, folder: Path, *lines: str) -> pods.Group:
    """A group whose pods have printed this, one text each."""
    made = group(layout, folder)
    for index, line in enumerate(lines):
        made.folder(index).mkdir(parents=True, exist_ok=True)
        (made.folder(index) / "output").write_text(line)
    return made


def test_the_plan_is_held_against_what_each_stage_reports(tmp_path: Path) -> None:
    here = machine(tmp_path)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(shapes.config(experts=False, tiny=False)))
    first = "Model loading took 7.48 GiB memory\nAvailable KV cache memory: 74.65 GiB\n"
    second = "Model loading took 7.48 GiB memory\nAvailable KV cache memory: 60.00 GiB\n"
    made = output(shapes.TWO_PODS, tmp_path, first, second)
    cluster = pods.resource(shapes.TWO_PODS, here, model, engine={"config": {"gpuMemoryPercent": 60}})
    found = memory.compare(cluster, model, made, here)
    assert [stage["weights_off"] for stage in found["stages"]] == pytest.approx([0, 0], abs=0.001)
    assert found["stages"][0]["room_off"] == pytest.approx(0, abs=0.01)
    assert found["stages"][1]["room_off"] > memory.LIMIT
    assert found["passed"] is False
    assert memory.room_reported(made) == 60 * GIB


def test_nothing_reported_is_nothing_proven(tmp_path: Path) -> None:
    made = output(shapes.TWO_PODS, tmp_path, "", "")
    assert memory.room_reported(made) is None


def rounds(*rates: float) -> list[dict[str, Any]]:
    return [{"output_throughput": each, "median_ttft_ms": 2.0, "median_tpot_ms": 4.0} for each in rates]


@pytest.mark.parametrize(("launcher", "passed"), [(99.0, True), (98.9, False), (120.0, True)])
def test_the_ratio_is_that_of_pairs_of_rounds(launcher: float, passed: bool) -> None:
    # The machine is half as fast in the second pair, which hits both sides.
    found = throughput.judged({"launcher": rounds(launcher, launcher / 2), "bare": rounds(100.0, 50.0)})
    assert found["passed"] is passed
    assert found["throughput_ratio"] == pytest.approx(launcher / 100)
    assert found["interval"] == [found["throughput_ratio"]] * 2
    assert (found["ttft_ratio"], found["tpot_ratio"]) == (1.0, 1.0)


def test_a_share_of_the_devices_is_used_when_others_use_the_rest(tmp_path: Path) -> None:
    here = Machine(tmp_path, rehearsal=False, devices=2, device_bytes=140 * GIB, first=2)
    cluster = pods.resource(shapes.TWO_PODS, here, tmp_path / "model")
    made = pods.Group(shapes.TWO_PODS, here, cluster, network=31, folder=tmp_path)
    shown = [made._environment(index, made._containers[index]["env"])["CUDA_VISIBLE_DEVICES"] for index in range(2)]
    assert shown == ["2", "3"]


def test_layouts_that_are_loaded_together_have_a_cache_of_one_size_on_both_sides(tmp_path: Path) -> None:
    made = contest.Contest(shapes.ONE_POD, machine(tmp_path), tmp_path / "model", number=1, percent=14, room=11)
    words = made._group._containers[0]["args"]
    assert words[words.index("--kv-cache-memory-bytes") + 1] == "11G"
    assert made._settings(11 * GIB)[-2:] == ["--kv-cache-memory-bytes", str(11 * GIB)]


@pytest.mark.parametrize(
    ("messages", "want"),
    [
        ([], None),
        ([None, None], None),
        ([("MemberDead", "gpu-0-1", "T02"), None], "MemberDead"),
        ([("MemberDead", "gpu-0-1", "T01"), ("EngineExited", "gpu-0-1", "T02")], "EngineExited"),
        ([("EngineExited", "gpu-0", "T03"), ("Stalled", "gpu-0-1", "T02")], "Stalled"),
    ],
)
def test_the_first_cause(messages: list[tuple[str, str, str] | None], want: str | None) -> None:
    keys = ("reason", "pod", "at")
    found = drills.first_cause([None if each is None else dict(zip(keys, each, strict=True)) for each in messages])
    assert (found and found["reason"]) == want


def test_processes_are_found_and_seen_to_be_gone() -> None:
    shell = ["sh", "-c", f"{sys.executable} -c 'import time; time.sleep(60)' & wait"]
    process = subprocess.Popen(shell)
    try:
        while len(found := processes.tree(process.pid)) < 2 or "sleep(60)" not in found[1].title:
            assert process.poll() is None
        assert processes.alive(found) == found
        assert processes.seconds_until_gone(found, limit=0.1) is None
        assert processes.resident_bytes(found[1].pid) > 0
    finally:
        processes.kill(processes.tree(process.pid))
        process.wait()
    assert processes.seconds_until_gone(found, limit=5) is not None
    # The same number may be another process later.
    later = [processes.Process(each.pid, each.started + 1, each.title) for each in processes.tree(1)[:1]]
    assert processes.alive(later) == []


def test_the_page_shows_what_the_results_say() -> None:
    results = cast("dict[str, Any]", json.loads(report.RESULTS.read_text()))
    assert report.PAGE.read_text() == report.written(report.PAGE.read_text(), results)
    shown = report.figures(results)
    for layout, each in results["throughput"].items():
        assert layout in shown
        assert "not_run" in each or "failed" in each or f"| {each['throughput_ratio']} |" in shown
