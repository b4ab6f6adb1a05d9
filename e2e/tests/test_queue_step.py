"""A step of the load in numbers: a queue that is too long, more groups, one group again, and no request that failed.

With the engine double from one group to five in two zones at once, and with vLLM on processors from one to two, which
is what a machine of two cores can run. Each three times; the times go to ``docs/autoscaling.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from e2e import resources, stack
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.drills import scaling_page
from e2e.drills.client import Shape
from e2e.drills.queue_step import Gauge, Step, Witness, by_zone, faults, measure, shown
from e2e.drills.record import Recorder, Seen, states
from e2e.drills.target import Engine
from e2e.drills.timeline import is_ready
from e2e.drills.traffic import Request, Traffic
from e2e.tests import queued

pytestmark = [pytest.mark.e2e, pytest.mark.drill, pytest.mark.timeout(2400)]

RUNS = 3
SAMPLE = stack.REPOSITORY / "samples" / "smollm2-pp2.yaml"


@dataclass(frozen=True)
class Stage:
    """What is scaled, and by which load. `start_seconds`: until its groups serve, at most, beside all that runs."""

    engine: Engine
    zones: tuple[str, ...]
    most: int
    busy: Shape
    light: Shape
    manifest: Callable[[], Obj]
    start_seconds: float
    target: int = queued.TARGET

    @property
    def name(self) -> str:
        return f"step-{self.engine}"

    @property
    def host(self) -> str:
        return f"{self.name}.test"


def double() -> Obj:
    spec: dict[str, Any] = {"gateway": queued.routed(DOUBLE.host)}
    return queued.scaled(down_at_once=True, name=DOUBLE.name, most=DOUBLE.most, **spec)


def vllm() -> Obj:
    """The sample's model, a group of which is one pod here."""
    sample: Obj = yaml.safe_load(SAMPLE.read_text())
    sample["metadata"] = {"name": VLLM.name}
    sample["spec"] |= {
        "parallelism": {"pipeline": 1},
        "zones": [{"name": zone, "replicas": 1} for zone in VLLM.zones],
        "gateway": queued.routed(VLLM.host),
        "autoscaling": {
            "maxReplicas": VLLM.most,
            "metrics": {"queueLength": VLLM.target},
            "behavior": {
                "scaleUp": queued.at_once(VLLM.most),
                "scaleDown": {"stabilizationWindowSeconds": 0, **queued.at_once(VLLM.most)},
            },
        },
    }
    sample["spec"]["model"] |= {"servedName": VLLM.name}
    return sample


# So many run all the time, half of them in each zone: more than five groups take at the target.
DOUBLE = Stage(
    Engine.DOUBLE,
    queued.ZONES,
    most=5,
    busy=Shape(0, tokens=30, at_a_time=64),
    light=Shape(0, tokens=4, stream=True, at_a_time=2),
    manifest=double,
    start_seconds=120,
)
# One group runs eight and lets four wait; while another one loads, both processors are busy, and answers slow.
VLLM = Stage(
    Engine.VLLM,
    ("zone-a",),
    most=2,
    busy=Shape(0, tokens=24, at_a_time=12, answer_seconds=120),
    light=Shape(0, tokens=4, at_a_time=1, answer_seconds=120),
    manifest=vllm,
    start_seconds=500,
)


@pytest.fixture(scope="module")
def url(cluster: Cluster, kube: Api, module_namespace: str) -> str:
    return queued.gateway(cluster, kube, module_namespace)


@pytest.fixture(scope="module", params=[DOUBLE, VLLM], ids=lambda stage: str(stage.engine))
def served(
    request: pytest.FixtureRequest, cluster: Cluster, kube: Api, module_namespace: str, url: str
) -> Iterator[Stage]:
    """A resource whose autoscalers read the metric."""
    assert url
    stage: Stage = request.param
    if stage.engine is Engine.VLLM:
        stack.load(cluster, "engine-cpu", nodes=stack.ENGINE_NODES)
    with queued.serving(cluster, kube, module_namespace, stage.manifest(), seconds=stage.start_seconds):
        yield stage


@pytest.mark.parametrize("run", range(1, RUNS + 1))
def test_a_step_of_the_load_brings_groups_and_takes_them_away_again(
    cluster: Cluster, kube: Api, *, module_namespace: str, served: Stage, url: str, run: int
) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    taken = Take(cluster, kube, module_namespace, served, url)
    requests = taken.run()
    steps = {zone: taken.step(zone) for zone in served.zones}
    rows = [
        {"engine": str(served.engine), "run": run, "zone": zone, "groups": served.most, "target": served.target}
        | step.row()
        | {"requests": len(requests), "failed": sum(1 for request in requests if request.fault), "at": at}
        | {"why": "; ".join(faults(step, requests))}
        for zone, step in steps.items()
    ]
    scaling_page.write("steps", rows)
    scaling_page.main(())
    assert not [row for row in rows if row["why"]], f"{rows}; queues: {shown(taken.witness.queues)}"


class Take:
    """One run, seen from its start to its end."""

    def __init__(self, cluster: Cluster, kube: Api, namespace: str, stage: Stage, url: str) -> None:
        self._stage = stage
        self._where = (cluster, url, stage.host, stage.name)
        selector = f"labelSelector=trireme.dev/cluster%3D{stage.name}"
        collection = f"/apis/leaderworkerset.x-k8s.io/v1/namespaces/{namespace}/leaderworkersets"
        self._sets = Recorder(kube, f"{collection}?{selector}")
        self._pods = Recorder(kube, f"/api/v1/namespaces/{namespace}/pods?{selector}")
        self._gauge = Gauge(lambda: by_zone(queued.metric_values(kube, namespace), stage.name, stage.zones))
        self._kube, self._path = kube, resources.path(namespace, stage.name)
        self._began = self._lighter = float("inf")

    @property
    def witness(self) -> Witness:
        return Witness(self._gauge.samples, self._sets.seen, self._pods.seen)

    def step(self, zone: str) -> Step:
        """What has been seen of it so far. Raises ValueError while the metric was never above the target."""
        stage = self._stage
        began, lighter = self._began, self._lighter
        return measure(self.witness, zone, target=stage.target, most=stage.most, began=began, lighter=lighter)

    def run(self) -> tuple[Request, ...]:
        """More, until all groups share it, besides little that goes on all the time. Gives all requests."""
        stage = self._stage
        limit = 3 * queued.PERIOD_SECONDS + stage.start_seconds
        with ExitStack() as blocks:
            for each in (self._sets, self._pods, self._gauge):
                blocks.enter_context(each)
            self._wait(self._idle, limit, "one idle group in each zone")
            light = blocks.enter_context(Traffic(*self._where, stage.light))
            busy = blocks.enter_context(Traffic(*self._where, stage.busy))
            self._began = time.monotonic()
            self._wait(lambda: all(step.fell is not None for step in self._steps()), limit, "groups to share the load")
            self._lighter = time.monotonic()
            busy.stop()
            self._wait(lambda: all(step.ended is not None for step in self._steps()), limit, "one group to be left")
            light.stop()
            return (*busy.requests, *light.requests)

    def _idle(self) -> bool:
        seen = self.witness
        one_each = [1] * len(self._stage.zones)
        asked = [each["spec"]["replicas"] for each in latest(seen.sets)]
        ready = [int(is_ready(pod)) for pod in latest(seen.pods)]
        queues = [list(queue) for queue in seen.queues[-1].queues.values()] if seen.queues else []
        return asked == ready == one_each and queues == [[0]] * len(one_each)

    def _steps(self) -> list[Step]:
        return [self.step(zone) for zone in self._stage.zones]

    def _wait(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        """The error shows what was seen last."""
        try:
            wait_until(done, timeout_seconds=seconds, what=what, ignore=(ValueError,), interval_seconds=0.5)
        except TimeoutError as error:
            zones = self._kube.get(self._path).get("status", {}).get("zones")
            raise AssertionError(f"{error}; queues: {shown(self.witness.queues)}; zones: {zones}") from error


def latest(seen: Sequence[Seen]) -> list[Obj]:
    """The objects as they are now."""
    found = [objects for _, objects in states(seen)]
    return list(found[-1].values()) if found else []
