"""Autoscaling on, off and on again, KEDA and back, with groups that run: on a real API server, event by event."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest_asyncio

from bench.client import connected as streams
from e2e.cluster.controlplane import ControlPlane
from tests.integration.replicas_stage import NAME, SCALING, Stage, Tape
from tests.integration.server import Hands, condition
from trireme_operator.kube import HORIZONTAL_POD_AUTOSCALER, LEADER_WORKER_SET, SCALED_OBJECT, Obj

QUEUE: Obj = {"minReplicas": 1, "maxReplicas": 6, "metrics": {"queueLength": 10}}
KEDA: Obj = {**QUEUE, "source": "KEDA", "keda": {"serverAddress": "http://prometheus:9090"}}


@pytest_asyncio.fixture(loop_scope="session")
async def stage(plane: ControlPlane, hands: Hands, namespace: str) -> AsyncIterator[Stage]:
    tape = Tape(hands, namespace)
    async with streams(plane.kubeconfig) as client:
        began = asyncio.Event()
        watch = asyncio.create_task(client.watch(LEADER_WORKER_SET, "", tape.see, began))
        await began.wait()
        yield Stage(hands, namespace, tape)
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch


async def names(stage: Stage) -> list[tuple[str, str]]:
    """The autoscalers of both kinds that there are."""
    kinds = (HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT)
    return [
        (kind.kind, obj["metadata"]["name"])
        for kind in kinds
        for obj in await stage.hands.api.list(kind, stage.namespace)
        if obj["metadata"]["name"].endswith(NAME)
    ]


async def test_on_off_and_on_again_never_has_fewer_than_the_four_groups_that_run(stage: Stage) -> None:
    await stage.create(replicas=4, autoscaling=None)
    await stage.tape.cut()
    for scaling in (SCALING, QUEUE):
        await stage.edit(autoscaling=scaling)
        await stage.settle()
        await stage.autoscaler_wants(4)
        await stage.edit(autoscaling=None)
        await stage.settle()
    await stage.edit(autoscaling=QUEUE, zone={"replicas": None})
    await stage.settle()
    assert await stage.tape.cut() == [4], "not one event with another number"


async def test_keda_takes_over_from_our_autoscaler_and_gives_back_and_the_number_stays(stage: Stage) -> None:
    await stage.create(replicas=2, autoscaling=QUEUE)
    await stage.autoscaler_wants(4)
    await stage.tape.cut()
    ours, kedas = [("HorizontalPodAutoscaler", NAME)], [("ScaledObject", NAME)]
    assert await names(stage) == ours
    await stage.edit(autoscaling=KEDA)
    await stage.reconcile()
    assert len(await names(stage)) <= 1
    await stage.settle()
    assert await names(stage) == kedas

    (scaled,) = [
        obj for obj in await stage.hands.api.list(SCALED_OBJECT, stage.namespace) if obj["metadata"]["name"] == NAME
    ]
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": NAME, "controller": True}
    target = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": NAME}
    metadata = {
        "name": f"keda-hpa-{NAME}",
        "namespace": stage.namespace,
        "labels": scaled["metadata"]["labels"],
        "ownerReferences": [owner | {"uid": scaled["metadata"]["uid"]}],
    }
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 6}
    await stage.hands.create(HORIZONTAL_POD_AUTOSCALER, {"metadata": metadata, "spec": spec})
    await stage.settle()

    await stage.edit(autoscaling={"source": None, "keda": None})
    await stage.settle()
    assert await names(stage) == [("HorizontalPodAutoscaler", f"keda-hpa-{NAME}")], "it scales the groups still"
    await stage.hands.delete(HORIZONTAL_POD_AUTOSCALER, stage.namespace, f"keda-hpa-{NAME}")
    await stage.settle()
    assert await names(stage) == ours
    assert await stage.tape.cut() == [4]


async def test_what_the_autoscaler_says_is_told_and_remembered(stage: Stage) -> None:
    await stage.create(replicas=2, autoscaling={**QUEUE, "metrics": {"queueLength": 10, "cpu": 70}})
    metric = {"metric": {"name": "inference_queue_length"}, "current": {"averageValue": "17500m"}}
    said = [
        {"type": "AbleToScale", "status": "True", "reason": "SucceededRescale"},
        {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"},
    ]
    status = {
        "currentReplicas": 2,
        "desiredReplicas": 4,
        "lastScaleTime": "2026-01-01T00:00:00Z",
        "currentMetrics": [{"type": "Pods", "pods": metric}, {"type": ""}],
        "conditions": said,
    }
    for name in ("llm-zone-a", NAME):
        await stage.hands.merge(HORIZONTAL_POD_AUTOSCALER, stage.namespace, name, {"status": status}, "status")
    await stage.settle()
    zone = await stage.zone()
    assert zone["autoscaling"] == {
        "current": 2,
        "desired": 4,
        "queueLength": 18,
        "lastScaled": "2026-01-01T00:00:00Z",
        "reason": "ValidMetricFound",
        "decisions": [{"time": "2026-01-01T00:00:00Z", "before": 2, "after": 4, "queueLength": 18}],
    }
    found = await condition(stage.hands, stage.namespace, "AutoscalingActive")
    assert (found["status"], found["reason"]) == ("False", "MetricsIncomplete")
    assert "cpu can't be read" in found["message"]
    assert "nobody serves metrics.k8s.io: install metrics-server" in found["message"]
