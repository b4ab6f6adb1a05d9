"""From the previous release to this operator and back: no group restarts, no revision changes.

The previous release is real: the code of the commit that CHANGELOG.md names, as a process of its own, with the CRD and
the rights that it shipped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from e2e.cluster.controlplane import ControlPlane
from e2e.previous import previous_release, unpack
from tests.integration.definitions import gateway_crds, lws_crds, our_crds
from tests.integration.server import (
    OPERATOR_USER,
    Hands,
    Operator,
    connected,
    running_operator,
    until,
)
from trireme_operator.kube import (
    CONTROLLER_REVISION,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    SERVICE,
    NotFound,
    Obj,
)

NAMESPACE = "upgraded"
NEXT_LAUNCHER = "trireme.dev/runtime:next"
"""What an upgrade changes in any case: so this operator renders every template differently."""

Sets = dict[str, tuple[str, int, Obj]]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the previous release."""
    return unpack(previous_release(), tmp_path_factory.mktemp("previous") / "release")


def released_crds(release: Path) -> list[Obj]:
    return [yaml.safe_load(file.read_text()) for file in release.glob("crds/*.yaml")]


@pytest.fixture(scope="module")
def plane(previous: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server as the previous release found it."""

    async def install(plane: ControlPlane) -> None:
        async with connected(plane.kubeconfig) as hands:
            await hands.install([*released_crds(previous), *lws_crds(), *gateway_crds()])
            await hands.served(INFERENCE_CLUSTER, LEADER_WORKER_SET, HTTP_ROUTE)
            await hands.allow_operator(source=previous)
            await hands.namespace(NAMESPACE)

    with ControlPlane(tmp_path_factory.mktemp("upgrade")) as plane:
        asyncio.run(install(plane))
        yield plane


class Cluster:
    """One API server, and one operator after the other."""

    def __init__(self, plane: ControlPlane, hands: Hands, previous: Path, logs: Path) -> None:
        self.hands = hands
        self._kubeconfig = plane.client("operator", common_name=OPERATOR_USER)
        self._previous = previous
        self._logs = logs

    @contextlib.asynccontextmanager
    async def older(self) -> AsyncIterator[None]:
        """The previous release at work, with its own CRD and rights, until it has told the status of every resource."""
        await self.hands.install(released_crds(self._previous))
        await self.hands.allow_operator(source=self._previous)
        with running_operator(self._kubeconfig, self._logs / "older.log", source=self._previous) as operator:
            await operator.ready()
            await until(lambda: self._told(newer=False))
            await until(lambda: self._at_rest(operator))
            assert await self.all_accepted()
            yield

    @contextlib.asynccontextmanager
    async def newer(self) -> AsyncIterator[None]:
        """This operator at work, with its own CRD and rights, until it has told the status of every resource."""
        await self.hands.install(our_crds())
        await self.hands.allow_operator()
        log = self._logs / "newer.log"
        with running_operator(self._kubeconfig, log, launcher_image=NEXT_LAUNCHER) as operator:
            await operator.ready()
            await until(lambda: self._told(newer=True))
            yield

    async def _at_rest(self, operator: Operator) -> bool:
        """Whether it has looked at every resource and is done: under the older CRD a status tells no operator apart."""

        async def looks() -> float:
            found = await asyncio.to_thread(operator.metrics)
            return found.get('trireme_reconcile_total{result="success"}', 0.0)

        before = await looks()
        await asyncio.sleep(1)
        return before == await looks() >= len(await self.resources())

    async def all_accepted(self) -> bool:
        conditions = [live["status"]["conditions"] for live in (await self.resources()).values()]
        accepted = [item["status"] for each in conditions for item in each if item["type"] == "Accepted"]
        return len(accepted) == len(conditions) and set(accepted) == {"True"}

    async def observed(self) -> bool:
        """Whether each status is of its resource's generation."""
        states = (await self.resources()).values()
        return all(live["status"].get("observedGeneration") == live["metadata"]["generation"] for live in states)

    async def _told(self, *, newer: bool) -> bool:
        """Whether each status is of its generation and from that operator: only the newer one names revisions."""
        resources = await self.hands.api.list(INFERENCE_CLUSTER, NAMESPACE)
        states = [(live["metadata"]["generation"], live.get("status") or {}) for live in resources]
        return all(
            status.get("observedGeneration") == generation and ("revision" in status) is newer
            for generation, status in states
        )

    async def sets(self) -> Sets:
        """UID, generation and spec of every LeaderWorkerSet."""
        found = {}
        for live in await self.hands.api.list(LEADER_WORKER_SET, NAMESPACE):
            metadata = live["metadata"]
            found[metadata["name"]] = (metadata["uid"], metadata["generation"], live["spec"])
        return found

    async def revisions(self) -> dict[str, Obj]:
        """Every ControllerRevision, to the last byte: its resourceVersion is among them."""
        return {obj["metadata"]["name"]: obj for obj in await self.hands.api.list(CONTROLLER_REVISION, NAMESPACE)}

    async def resources(self) -> dict[str, Any]:
        live = await self.hands.api.list(INFERENCE_CLUSTER, NAMESPACE)
        return {obj["metadata"]["name"]: obj for obj in live}


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(plane: ControlPlane, previous: Path, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with connected(plane.kubeconfig) as hands:
        yield Cluster(plane, hands, previous, tmp_path)


def shapes(previous: Path) -> list[Obj]:
    """A resource of every shape that the previous release had a golden case for."""
    found = []
    for file in sorted(previous.glob("tests/golden/*/input.yaml")):
        obj = yaml.safe_load(file.read_text())
        obj["metadata"] = {"name": file.parent.name, "namespace": NAMESPACE}
        found.append(obj)
    return found


async def test_an_upgrade_and_a_downgrade_restart_nothing(cluster: Cluster, previous: Path) -> None:
    wanted = shapes(previous)
    assert len(wanted) >= 7
    for obj in wanted:
        await cluster.hands.create(INFERENCE_CLUSTER, obj)
    async with cluster.older():
        await it_works_on_under_the_newer_crd(cluster)
    sets, revisions = await cluster.sets(), await cluster.revisions()
    assert len(revisions) == len(wanted)
    assert len(sets) == sum(len(obj["spec"].get("zones") or [None]) for obj in wanted)

    async with cluster.newer():
        assert await cluster.sets() == sets
        assert await cluster.revisions() == revisions
        for live in (await cluster.resources()).values():
            newer = live["status"]["newerRendering"]
            assert newer.startswith(live["status"]["revision"]), "and yet it would render each one differently"
        await repairs_use_the_stored_template(cluster, sets, revisions)
        sets, revisions = await cluster.sets(), await cluster.revisions()

    async with cluster.older():
        assert await cluster.sets() == sets
        assert await cluster.revisions() == revisions


async def it_works_on_under_the_newer_crd(cluster: Cluster) -> None:
    """Between the two commands of an upgrade: the newer CRD is there, the earlier operator still does the work."""
    await cluster.hands.install(our_crds())
    edit = {"spec": {"service": {"annotations": [{"name": "edited", "value": "between"}]}}}
    for name in await cluster.resources():
        await cluster.hands.merge(INFERENCE_CLUSTER, NAMESPACE, name, edit)

    async def followed() -> bool:
        services = {
            obj["metadata"]["name"]: obj["metadata"] for obj in await cluster.hands.api.list(SERVICE, NAMESPACE)
        }
        return await cluster.observed() and all(
            services[f"{name}-http"].get("annotations", {}).get("edited") == "between"
            for name in await cluster.resources()
        )

    await until(followed)
    assert await cluster.all_accepted()


async def repairs_use_the_stored_template(cluster: Cluster, sets: Sets, revisions: dict[str, Obj]) -> None:
    """Lose a LeaderWorkerSet and the revision of another resource: both come back as the previous release made them."""
    victim = next(name for name in sorted(sets) if name.startswith("two-zones-pipeline"))
    lost = next(name for name in sorted(revisions) if name.startswith("pool-of-groups"))
    await cluster.hands.delete(LEADER_WORKER_SET, NAMESPACE, victim)
    await cluster.hands.delete(CONTROLLER_REVISION, NAMESPACE, lost)

    async def back() -> bool:
        try:
            live = await cluster.hands.api.get(LEADER_WORKER_SET, NAMESPACE, victim)
            await cluster.hands.api.get(CONTROLLER_REVISION, NAMESPACE, lost)
        except NotFound:
            return False
        return bool(live["spec"] == sets[victim][2])

    await until(back)
    assert (await cluster.revisions())[lost]["data"] == revisions[lost]["data"]
    others = {name: found for name, found in (await cluster.sets()).items() if name != victim}
    assert others == {name: found for name, found in sets.items() if name != victim}
