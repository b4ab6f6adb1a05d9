"""What the demo says: rows of the table, the zone that answered, and the way its bytes go."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from e2e import relay
from e2e.api import Api, ApiError
from e2e.demo import __main__ as demo
from e2e.demo import watch

METRICS = """\
# HELP vllm:request_success_total Count of successfully processed requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 3.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 2.0
vllm:request_success_created{engine="0",finished_reason="stop",model_name="m"} 1.7e+09
vllm:num_requests_running{engine="0",model_name="m"} 1.0
"""


class GivenApi(Api):
    """An API server with the given pods, whose launchers and engines answer with the given texts."""

    def __init__(self, pods: list[dict[str, Any]], answers: dict[tuple[str, int], str]) -> None:
        super().__init__(Path("/nonexistent"))
        self._pods, self._answers = pods, answers

    def items(self, path: str) -> list[dict[str, Any]]:
        assert "labelSelector=trireme.dev/cluster%3D" in path
        return self._pods

    def pod_text(self, namespace: str, pod: str, port: int, path: str) -> str:
        try:
            return self._answers[pod, port]
        except KeyError:
            raise ApiError("GET", f"{namespace}/{pod}:{port}{path}", 503, "connection refused") from None


def pod(name: str, zone: str, **status: Any) -> dict[str, Any]:
    labels = {"trireme.dev/zone": zone, watch.GROUP_LABEL: "0"}
    return {"metadata": {"name": name, "namespace": "demo", "labels": labels}, "status": status}


def test_finished_requests_are_summed_over_reasons_and_nothing_else_counts() -> None:
    assert demo.finished_requests(METRICS) == 5


def test_finished_requests_of_an_engine_that_answered_nobody_are_zero() -> None:
    assert demo.finished_requests("vllm:num_requests_running 0.0\n") == 0


def test_requests_are_counted_by_zone_over_all_of_its_leaders() -> None:
    pods = [pod("a-0", "zone-a"), pod("a-1", "zone-a"), pod("b-0", "zone-b")]
    answers = {("a-0", 8000): METRICS, ("a-1", 8000): METRICS, ("b-0", 8000): ""}
    assert demo.requests_by_zone(GivenApi(pods, answers)) == {"zone-a": 10, "zone-b": 0}


@pytest.mark.parametrize(
    ("status", "stage"),
    [
        pytest.param({"phase": "Running"}, "Loading", id="the launcher says its stage"),
        pytest.param(
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "ImagePullBackOff",
            id="an image that can't be pulled comes before what the launcher says",
        ),
        pytest.param(
            {"containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]},
            "Loading",
            id="a normal start is no reason",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "Unschedulable",
            id="no node takes the pod",
        ),
    ],
)
def test_a_row_shows_the_stage(status: dict[str, Any], stage: str) -> None:
    rows = watch.pod_rows(
        GivenApi([pod("a-0", "zone-a", **status)], {("a-0", 8001): '{"stage": "Loading"}'}), "demo", "m"
    )
    assert [row.stage for row in rows] == [stage]


def test_a_row_of_a_pod_without_a_launcher_shows_its_phase() -> None:
    rows = watch.pod_rows(GivenApi([pod("a-0", "zone-a", phase="Pending")], {}), "demo", "m")
    assert [(row.zone, row.stage, row.ready) for row in rows] == [("zone-a", "Pending", False)]


def test_a_relay_passes_bytes_both_ways(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as far:
        target = f"tcp:127.0.0.1:{far.getsockname()[1]}"
        argv = [sys.executable, "-m", "e2e.relay", f"unix:{tmp_path}/r.sock", target]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == f"unix:{tmp_path}/r.sock\n"
            with socket.socket(socket.AF_UNIX) as near:
                near.connect(f"{tmp_path}/r.sock")
                near.sendall(b"question")
                accepted, _ = far.accept()
                with accepted:
                    assert accepted.recv(100) == b"question"
                    accepted.sendall(b"answer")
                assert near.recv(100) == b"answer"
                assert near.recv(100) == b"", "the far end has closed"
            process.terminate()


@pytest.mark.parametrize("address", ["http:127.0.0.1:80", "tcp:127.0.0.1", "tcp::80", "tcp:127.0.0.1:http"])
async def test_a_relay_refuses_an_address_it_does_not_know(address: str) -> None:
    with pytest.raises(ValueError, match="expected tcp:HOST:PORT or unix:PATH"):
        await relay.serve(address, "unix:/nonexistent")
