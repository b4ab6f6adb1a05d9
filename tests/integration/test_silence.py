"""Watches that say nothing although things happen: the operator finds out by itself, and soon.

Both cases wait for most of a minute, so they do it at the same time, each with a namespace, a proxy and an operator.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.proxy import Proxy, proxied
from tests.integration.server import Hands, Operator, running_operator, until
from tests.integration.test_operator_process import complete, manifest
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, SERVICE, NotFound

HEALED_SECONDS = 60.0


async def test_silence_is_made_up_for_while_it_lasts_and_after_it(
    hands: Hands, namespace: str, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as group:
        for case in (watches_that_are_mute_for_good, a_stream_that_fell_silent):
            own = f"{namespace}-{case.__name__.replace('_', '-')}"
            group.create_task(case(hands, own, operator_kubeconfig, _made(tmp_path / own)), name=own)


async def watches_that_are_mute_for_good(hands: Hands, namespace: str, kubeconfig: Path, folder: Path) -> None:
    """Are made up for by the comparison with lists."""
    async with at_work(hands, namespace, kubeconfig, folder) as (proxy, operator):
        proxy.mute = True
        await hands.delete(SERVICE, namespace, "llm-zone-a-http")
        spec = (await hands.api.get(INFERENCE_CLUSTER, namespace, "llm"))["spec"]
        spec["zones"][1]["replicas"] = 5
        await hands.merge(INFERENCE_CLUSTER, namespace, "llm", {"spec": spec})

        async def healed() -> bool:
            zone = await hands.api.get(LEADER_WORKER_SET, namespace, "llm-zone-b")
            return zone["spec"]["replicas"] == 5 and await exists(hands, namespace, "llm-zone-a-http")

        await asyncio.sleep(2)
        assert not await healed(), "the watches were not mute"
        await until(healed, seconds=HEALED_SECONDS)
        assert proxy.swallowed
        assert operator.running


async def a_stream_that_fell_silent(hands: Hands, namespace: str, kubeconfig: Path, folder: Path) -> None:
    """Is opened again from before its silence.

    The comparison with lists would find it too, but later than a new stream: events of all kinds come at once.
    """
    async with at_work(hands, namespace, kubeconfig, folder) as (proxy, operator):
        proxy.mute = True
        await hands.delete(SERVICE, namespace, "llm-http")

        async def swallowed() -> bool:
            return bool(proxy.swallowed)

        await until(swallowed)
        proxy.mute = False
        await until(lambda: exists(hands, namespace, "llm-http"), seconds=HEALED_SECONDS)
        assert operator.running


@asynccontextmanager
async def at_work(
    hands: Hands, namespace: str, kubeconfig: Path, folder: Path
) -> AsyncIterator[tuple[Proxy, Operator]]:
    """An operator behind a proxy, and a resource that it has completed."""
    await hands.namespace(namespace)
    async with proxied(kubeconfig, folder) as (proxy, through_proxy):
        with running_operator(through_proxy, folder / "operator.log", namespaces=namespace) as operator:
            await operator.ready()
            await hands.create(INFERENCE_CLUSTER, manifest(namespace))
            await until(lambda: complete(hands, namespace))
            yield proxy, operator


async def exists(hands: Hands, namespace: str, service: str) -> bool:
    try:
        await hands.api.get(SERVICE, namespace, service)
    except NotFound:
        return False
    return True


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
