"""The metrics server behind the aggregation layer: what the HPA controller asks, and the harm that is kept away."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.cluster.controlplane import GARBAGE_COLLECTION, ControlPlane
from scripts import chart
from tests.integration.metrics_stage import (
    ENDPOINT_SLICE,
    NAME,
    FakeLauncher,
    MetricsStage,
    charted,
    launchers,
    leader,
    let_renew,
    machine_address,
    metrics_stage,
    put_certificate,
)
from tests.integration.server import Hands, connected, until
from trireme_operator.controller.registration import HARM_SECONDS, STEP_SECONDS
from trireme_operator.kube import API_SERVICE, CLUSTER_ROLE, NAMESPACE, SECRET, NotFound, Obj
from trireme_operator.metricsapi.main import STUCK_SECONDS
from trireme_operator.rendering.api_service import METRICS_GROUP

pytestmark = pytest.mark.timeout(240)

UNREACHABLE = "198.51.100.7"
NAMESPACE_SECONDS = 30.0
"""So long a namespace may take to go while the metrics server is broken."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("metrics"), controllers=GARBAGE_COLLECTION) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def stage(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[MetricsStage]:
    async with connected(plane.kubeconfig) as hands, metrics_stage(plane, hands, tmp_path) as made:
        await until(functools.partial(registered, made))
        yield made
        with contextlib.suppress(NotFound):
            live = await hands.api.get(API_SERVICE, "", "v1beta2.custom.metrics.k8s.io")
            await hands.api.delete(API_SERVICE, "", live["metadata"]["name"], uid=live["metadata"]["uid"])


async def registered(stage: MetricsStage) -> bool:
    """One look of the operator, as every other second."""
    await stage.registration.step()
    return stage.registration.registered and await stage.available()


async def serves(stage: MetricsStage) -> bool:
    """The last word of the API server may be older than a server that was killed: so it is asked."""
    return await registered(stage) and await stage.ask("anywhere") == {}


async def withdrawn(stage: MetricsStage) -> bool:
    await stage.registration.step()
    return await stage.gone()


async def answered(stage: MetricsStage, namespace: str, values: dict[str, str] | None) -> bool:
    return await stage.ask(namespace) == values


async def delete_namespace(hands: Hands, name: str) -> float:
    """Returns when it began."""
    live = await hands.api.get(NAMESPACE, "", name)
    await hands.api.delete(NAMESPACE, "", name, uid=live["metadata"]["uid"])
    return time.monotonic()


async def ended(stage: MetricsStage) -> bool:
    return stage.server.process is not None and stage.server.process.poll() == -signal.SIGALRM


async def is_gone(hands: Hands, name: str) -> bool:
    try:
        await hands.api.get(NAMESPACE, "", name)
    except NotFound:
        return True
    return False


async def test_the_queue_of_leaders_is_answered_through_the_api_server(stage: MetricsStage) -> None:
    await stage.hands.namespace("genai")
    with launchers() as launcher:
        await leader(stage.hands, "genai", 0, machine_address())
        await leader(stage.hands, "genai", 1, UNREACHABLE)
        await until(functools.partial(answered, stage, "genai", {"llm-a-0": "35"}))
        launcher.queue = 0
        await until(functools.partial(answered, stage, "genai", {"llm-a-0": "0"}))
        launcher.queue = None
        await until(functools.partial(answered, stage, "genai", {}))
        FakeLauncher.queue = 7
        await until(functools.partial(answered, stage, "genai", {"llm-a-0": "7"}))
    await until(functools.partial(answered, stage, "genai", {}))
    assert await stage.ask("elsewhere") == {}
    assert stage.server.stop() == 0


async def test_a_user_without_rights_is_refused_by_the_api_server(plane: ControlPlane, stage: MetricsStage) -> None:
    kubeconfig = plane.client("nobody", common_name="nobody")
    async with connected(kubeconfig) as hands:
        assert await MetricsStage(hands, stage.server, stage.registration, stage.wish).ask("genai") is None
    assert await stage.ask("genai") is not None


@pytest.mark.parametrize("how", ["killed", "hung", "no endpoint", "cut off"])
async def test_a_broken_server_holds_no_namespace_up_and_heals(stage: MetricsStage, how: str) -> None:
    name = f"ends-{how.replace(' ', '-')}"
    await stage.hands.namespace(name)
    assert stage.server.process is not None
    if how == "killed":
        stage.server.kill()
    elif how == "hung":
        stage.server.process.send_signal(signal.SIGSTOP)
    elif how == "cut off":
        away = {"addresses": [UNREACHABLE], "conditions": {"ready": True}}
        await stage.hands.merge(ENDPOINT_SLICE, chart.NAMESPACE, NAME, {"endpoints": [away]})
    else:
        await stage.hands.merge(ENDPOINT_SLICE, chart.NAMESPACE, NAME, {"endpoints": []})
        stage.server.kill()
    stopped = time.monotonic()
    broken = await delete_namespace(stage.hands, name)
    took = await until(functools.partial(withdrawn, stage))
    await until(functools.partial(is_gone, stage.hands, name))

    assert time.monotonic() - broken <= NAMESPACE_SECONDS
    assert took >= HARM_SECONDS - STEP_SECONDS, "a moment of silence is no reason"
    if how == "hung":
        await asyncio.sleep(max(0.0, stopped + STUCK_SECONDS - time.monotonic()))
        stage.server.process.send_signal(signal.SIGCONT)
        await until(functools.partial(ended, stage))  # its own alarm, which has been due
        stage.server.start()
    else:
        endpoint = {"addresses": [machine_address()], "conditions": {"ready": True}}
        await stage.hands.merge(ENDPOINT_SLICE, chart.NAMESPACE, NAME, {"endpoints": [endpoint]})
        if how != "cut off":
            stage.server.start()
    await until(functools.partial(registered, stage))
    assert await stage.ask("anywhere") == {}


async def test_a_foreign_adapter_gets_the_group_to_itself(stage: MetricsStage) -> None:
    theirs: Obj = {
        "apiVersion": API_SERVICE.api_version,
        "kind": API_SERVICE.kind,
        "metadata": {"name": f"v1beta1.{METRICS_GROUP}"},
        "spec": {
            "group": METRICS_GROUP,
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "default", "name": "prometheus-adapter"},
        },
    }
    made = await stage.hands.api.apply(API_SERVICE, theirs, manager="somebody")
    await until(functools.partial(withdrawn, stage))
    live = await stage.hands.api.get(API_SERVICE, "", theirs["metadata"]["name"])
    assert live["spec"] == made["spec"]
    await stage.hands.api.delete(API_SERVICE, "", live["metadata"]["name"], uid=live["metadata"]["uid"])
    await until(functools.partial(registered, stage))


async def test_it_goes_with_the_release_and_with_the_last_wish(stage: MetricsStage) -> None:
    stage.wish.wanted = False
    await stage.registration.step()
    assert await stage.gone()
    stage.wish.wanted = True
    await until(functools.partial(registered, stage))

    role = await stage.hands.api.get(CLUSTER_ROLE, "", NAME)
    await stage.hands.api.delete(CLUSTER_ROLE, "", NAME, uid=role["metadata"]["uid"])
    await until(stage.gone)
    for obj in charted():
        if obj["kind"] == CLUSTER_ROLE.kind:
            await stage.hands.apply(CLUSTER_ROLE, obj)


@pytest.mark.parametrize("how", ["lost", "ended"])
async def test_a_certificate_that_is_of_no_use_is_made_anew_and_the_registration_follows(
    stage: MetricsStage, how: str
) -> None:
    useless = {(await stage.live() or {})["spec"]["caBundle"]}
    if how == "lost":
        await stage.hands.merge(SECRET, chart.NAMESPACE, NAME, {"data": None})
    else:
        useless.add(await put_certificate(stage.hands, left=timedelta(days=-1)))
    stage.server.kill()
    stage.server.start()

    async def renewed() -> bool:
        return await serves(stage) and (await stage.live() or {})["spec"]["caBundle"] not in useless

    await until(renewed)


async def test_a_certificate_that_ends_because_nobody_may_renew_it_holds_no_namespace_up_and_heals(
    stage: MetricsStage,
) -> None:
    """Refused renewals are how one ends at all. A server that starts meanwhile serves it as long as it is good."""
    name, soon = "ends-with-the-certificate", timedelta(seconds=30)
    await stage.hands.namespace(name)
    await let_renew(stage.hands, allowed=False)
    ends = time.monotonic() + soon.total_seconds()
    await put_certificate(stage.hands, left=soon)
    stage.server.kill()
    stage.server.start()
    await until(functools.partial(serves, stage), seconds=soon.total_seconds())

    await asyncio.sleep(max(0.0, ends - time.monotonic()))
    await delete_namespace(stage.hands, name)

    async def over() -> bool:
        await stage.registration.step()
        return await is_gone(stage.hands, name)

    assert await until(over) <= NAMESPACE_SECONDS
    # With connections from before its end the API server goes on for a while, and nothing is wrong.
    await until(functools.partial(withdrawn, stage))

    await let_renew(stage.hands, allowed=True)
    await until(functools.partial(serves, stage))
