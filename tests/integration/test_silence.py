"""Watches that say nothing although things happen: the operator finds out by itself, and soon."""

import asyncio
from pathlib import Path

from tests.integration.proxy import proxied
from tests.integration.server import Hands, running_operator, until
from tests.integration.test_operator_process import complete, manifest
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, SERVICE, NotFound

HEALED_SECONDS = 60.0


async def test_watches_that_are_mute_for_good_are_made_up_for(
    hands: Hands, namespace: str, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    async with proxied(operator_kubeconfig, tmp_path) as (proxy, kubeconfig):
        with running_operator(kubeconfig, tmp_path / "operator.log", namespaces=namespace) as operator:
            await operator.ready()
            await hands.create(INFERENCE_CLUSTER, manifest(namespace))
            await until(lambda: complete(hands, namespace))
            proxy.mute = True
            await hands.delete(SERVICE, namespace, "llm-zone-a-http")
            spec = (await hands.api.get(INFERENCE_CLUSTER, namespace, "llm"))["spec"]
            spec["zones"][1]["replicas"] = 5
            await hands.merge(INFERENCE_CLUSTER, namespace, "llm", {"spec": spec})

            async def healed() -> bool:
                try:
                    await hands.api.get(SERVICE, namespace, "llm-zone-a-http")
                except NotFound:
                    return False
                return bool((await hands.api.get(LEADER_WORKER_SET, namespace, "llm-zone-b"))["spec"]["replicas"] == 5)

            await asyncio.sleep(2)
            assert not await healed(), "the watches were not mute"
            await until(healed, seconds=HEALED_SECONDS)
            assert proxy.swallowed
            assert operator.running


async def test_a_stream_that_fell_silent_is_opened_again_from_before_its_silence(
    hands: Hands, namespace: str, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    """The comparison with lists would find it too, but later than a new stream: events of all kinds come at once."""
    async with proxied(operator_kubeconfig, tmp_path) as (proxy, kubeconfig):
        with running_operator(kubeconfig, tmp_path / "operator.log", namespaces=namespace) as operator:
            await operator.ready()
            await hands.create(INFERENCE_CLUSTER, manifest(namespace))
            await until(lambda: complete(hands, namespace))
            proxy.mute = True
            await hands.delete(SERVICE, namespace, "llm-http")
            await asyncio.sleep(1)
            proxy.mute = False

            async def healed() -> bool:
                try:
                    await hands.api.get(SERVICE, namespace, "llm-http")
                except NotFound:
                    return False
                return True

            await until(healed, seconds=HEALED_SECONDS)
            assert operator.running
