"""Two operators on a real API server: one writes, the other follows it; what is frozen, killed or ended meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio

from e2e.cluster.controlplane import ControlPlane
from tests.integration.audit import Trail, audited
from tests.integration.server import SYSTEM, ForkedOperator, Hands, Operator, connected, running_operator, until
from tests.unit.controller_samples import resource
from trireme_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    LEASE,
    SERVICE,
    Claim,
    KubernetesApi,
    Lease,
    Obj,
    connect,
)
from trireme_operator.kube.lease import DURATION_SECONDS, RENEW_SECONDS

CLAIM = f"{SYSTEM}/trireme"
NAMES = ("one", "two")
WRITES = frozenset({"create", "update", "patch", "delete"})


@pytest_asyncio.fixture(loop_scope="session", scope="module", autouse=True)
async def users(hands: Hands) -> None:
    """Each operator is a user of its own."""
    for name in NAMES:
        await hands.allow_operator(f"operator-{name}")


def kubeconfig(plane: ControlPlane, name: str) -> Path:
    return audited(plane, f"operator-{name}")


class Pair:
    """Two operators for one Lease."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._trails = {name: Trail(plane, f"operator-{name}") for name in NAMES}
        self.operators: dict[str, Operator] = {
            name: ForkedOperator(
                kubeconfig(plane, name),
                folder / f"{name}.log",
                lease=CLAIM,
                identity=f"{name}-{folder.name}",
            )
            for name in NAMES
        }

    def leader(self) -> str:
        """The one that says so itself, "" for none."""
        leading = [name for name, each in self.operators.items() if each.running and _leads(each)]
        assert len(leading) < 2, "both say that they lead"
        return leading[0] if leading else ""

    async def led_by(self, *names: str) -> float:
        async def led() -> bool:
            return await asyncio.to_thread(self.leader) in names

        return await until(led)

    def writes(self, name: str, *, lease: bool = False) -> list[tuple[datetime, str, str]]:
        """When the API server received a write of this operator, which verb, and of what; since the pair was made."""
        return [
            (_moment(event["requestReceivedTimestamp"]), event["verb"], event["objectRef"]["resource"])
            for event in self._trails[name].events()
            if event["verb"] in WRITES
            and (event["objectRef"]["resource"] == "leases") is lease
            and event["objectRef"].get("apiGroup") != "authorization.k8s.io"
        ]


def _leads(operator: Operator) -> bool:
    return operator.metrics().get("trireme_leader") == 1


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest_asyncio.fixture(loop_scope="session")
async def pair(plane: ControlPlane, hands: Hands, tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(plane, tmp_path)
    with contextlib.ExitStack() as started:
        for name, operator in pair.operators.items():
            operator.start()
            started.callback(_end, operator)
            await operator.ready()
            await pair.led_by(NAMES[0])
            assert (name, await asyncio.to_thread(pair.leader)) == (name, NAMES[0])
        yield pair


def _end(operator: Operator) -> None:
    """However a test left it: a frozen one would not see that it is to stop."""
    if operator.running:
        operator.resume()
        operator.stop()


def manifest(namespace: str, name: str) -> Obj:
    obj = resource()
    obj["metadata"] = {"name": name, "namespace": namespace}
    return obj


async def served(hands: Hands, namespace: str, name: str) -> bool:
    sets = await hands.api.list(LEADER_WORKER_SET, namespace, labels=f"trireme.dev/cluster={name}")
    live = await hands.api.get(INFERENCE_CLUSTER, namespace, name)
    return len(sets) == 2 and bool((live.get("status") or {}).get("zones"))


async def create_and_wait(hands: Hands, namespace: str, name: str) -> None:
    await hands.create(INFERENCE_CLUSTER, manifest(namespace, name))
    await until(lambda: served(hands, namespace, name))


async def test_one_works_the_other_watches_and_both_probes_are_well(hands: Hands, pair: Pair, namespace: str) -> None:
    await create_and_wait(hands, namespace, "llm")
    standby = pair.operators["two"]
    assert pair.writes("one")
    assert pair.writes("two") == []
    assert standby.get("TRIREME_PROBE_PORT", "/healthz") is not None
    assert standby.metrics()["trireme_queue_oldest_seconds"] == 0, "waiting for the Lease is no waiting for a worker"

    async def watches() -> bool:
        metrics = await asyncio.to_thread(standby.metrics)
        return any("inferenceclusters" in name for name in metrics if name.startswith("trireme_watch_events_total"))

    await until(watches)


async def test_ended_in_order_the_other_takes_the_lease_that_was_given_back(
    hands: Hands, pair: Pair, namespace: str
) -> None:
    """How fast is measured by ``bench --only handover``; here, that nobody waits for the Lease to run out."""
    await create_and_wait(hands, namespace, "before")
    code, _ = pair.operators["one"].stop()
    assert code == 0
    await pair.led_by("two")
    released, _, _ = pair.writes("one", lease=True)[-1]
    taken, _, _ = pair.writes("two", lease=True)[0]
    assert 0 < (taken - released).total_seconds() < DURATION_SECONDS - RENEW_SECONDS, "by the API server's clock"
    await create_and_wait(hands, namespace, "after")
    assert pair.writes("two"), "and it was the other one"


async def test_killed_the_other_works_when_the_lease_is_over(hands: Hands, pair: Pair, namespace: str) -> None:
    pair.operators["one"].kill()
    killed = datetime.now().astimezone()
    await create_and_wait(hands, namespace, "llm")
    first, _, _ = pair.writes("two")[0]
    seconds = (first - killed).total_seconds()  # by the API server's clock: what the test itself takes does not count
    assert 5 < seconds < 2 * DURATION_SECONDS, "not before the Lease was over, and soon after"


async def test_a_container_that_was_restarted_need_not_wait_for_itself(
    hands: Hands, plane: ControlPlane, pair: Pair, namespace: str
) -> None:
    """The other one is frozen, or it would take the Lease where a busy machine starts a process in more than 8 s."""
    restarted, other = pair.operators["one"], pair.operators["two"]
    with other.paused():
        restarted.kill()
        restarted.start()
        await restarted.ready()

        async def leads() -> bool:
            return await asyncio.to_thread(_leads, restarted)

        assert await until(leads) < 5, "less than is left of the Lease at the earliest moment when it can be ready"


async def test_a_frozen_holder_begins_no_write_when_it_goes_on(hands: Hands, pair: Pair, namespace: str) -> None:
    """SIGSTOP in the middle of work, until the other one has taken over and has all of it to do.

    Between two turns of its event loop: what it wrote in a turn that is not over is not held back by the fence.
    """
    frozen, other = pair.operators["one"], pair.operators["two"]
    names = [f"llm-{number:02d}" for number in range(24)]
    for name in names:
        await hands.create(INFERENCE_CLUSTER, manifest(namespace, name))
    await until(lambda: _has_written(pair, "one", 10))
    frozen.freeze_between_turns()
    made = await hands.api.list(LEADER_WORKER_SET, namespace)
    assert len(made) < 2 * len(names), "it was frozen too late to prove anything"
    stopped = datetime.now().astimezone()

    async def taken_over() -> bool:
        return await asyncio.to_thread(_leads, other)

    assert await until(taken_over) > 5, "not before the Lease was over"
    frozen.resume()
    victims = await hands.api.list(SERVICE, namespace)
    for victim in victims[:20]:
        await hands.delete(SERVICE, namespace, victim["metadata"]["name"])
    await asyncio.sleep(3)
    # What was sent before may be read by a busy server later, but long before anybody else may write.
    late = [write for write in pair.writes("one") if write[0] > stopped + timedelta(seconds=4)]
    assert late == []
    assert "Not leading any more" in frozen.log.read_text()
    assert frozen.get("TRIREME_PROBE_PORT", "/healthz") is not None, "it stands by now"
    for name in names:
        await until(lambda name=name: served(hands, namespace, name))  # type: ignore[misc]


async def _has_written(pair: Pair, name: str, at_least: int) -> bool:
    return len(pair.writes(name)) >= at_least


async def test_without_an_api_server_nobody_ends_and_the_holder_goes_on(
    hands: Hands, plane: ControlPlane, pair: Pair, namespace: str
) -> None:
    """Longer than the Lease lasts: whoever is first then leads, in the same processes."""
    pids = {name: each.pid for name, each in pair.operators.items()}
    server = plane.api_server()
    server.stop()
    await asyncio.sleep(10)
    assert await asyncio.to_thread(pair.leader) == "", "who can't renew it does not lead"
    server.start()
    server.wait(plane.ready, seconds=120)
    await pair.led_by(*NAMES)
    assert {name: each.pid for name, each in pair.operators.items() if each.running} == pids
    async with connected(plane.kubeconfig) as again:
        await again.served(INFERENCE_CLUSTER, LEADER_WORKER_SET, HTTP_ROUTE)
        await create_and_wait(again, namespace, "llm")


# ---- the Lease itself, as the API server treats it -------------------------------------------------------


@contextlib.asynccontextmanager
async def claimant(plane: ControlPlane, name: str, identity: str) -> AsyncIterator[Lease]:
    api = KubernetesApi(await connect(plane.kubeconfig))
    try:
        yield Lease(api, Claim(SYSTEM, name, identity), now=lambda: datetime.now().astimezone())
    finally:
        await api.close()


async def test_of_many_that_create_the_lease_at_once_one_holds_it(plane: ControlPlane, hands: Hands) -> None:
    for attempt in range(5):
        async with contextlib.AsyncExitStack() as stack:
            found = [
                await stack.enter_async_context(claimant(plane, f"race-{attempt}", f"id-{number}"))
                for number in range(6)
            ]
            held = await asyncio.gather(*(each.hold() for each in found))
            winners = [each.claim.identity for each, until in zip(found, held, strict=True) if until is not None]
            live = await hands.api.get(LEASE, SYSTEM, f"race-{attempt}")
            assert winners == [live["spec"]["holderIdentity"]]


async def test_of_two_that_follow_one_takes_it(plane: ControlPlane) -> None:
    async with (
        claimant(plane, "follow", "first") as first,
        claimant(plane, "follow", "second") as second,
        claimant(plane, "follow", "third") as third,
    ):
        assert await first.hold() is not None
        assert await second.hold() is None
        await first.release()
        held = await asyncio.gather(second.hold(), third.hold())
        assert sum(until is not None for until in held) == 1
        assert await first.hold() is None


async def test_a_label_by_hand_or_its_deletion_does_not_take_the_lease_away(plane: ControlPlane, hands: Hands) -> None:
    async with claimant(plane, "handled", "first") as first, claimant(plane, "handled", "second") as second:
        assert await first.hold() is not None
        await hands.merge(LEASE, SYSTEM, "handled", {"metadata": {"labels": {"seen": "yes"}}})
        assert await second.hold() is None
        assert await first.hold() is not None
        await hands.delete(LEASE, SYSTEM, "handled")
        assert await first.hold() is not None
        live: dict[str, Any] = await hands.api.get(LEASE, SYSTEM, "handled")
        assert live["spec"]["holderIdentity"] == "first"


async def test_many_holders_leave_no_trail_in_the_object(plane: ControlPlane, hands: Hands) -> None:
    for number in range(5):
        async with claimant(plane, "trail", f"id-{number}") as lease:
            assert await lease.hold() is not None
            await lease.release()
    live = await hands.api.get(LEASE, SYSTEM, "trail")
    assert live["spec"]["leaseTransitions"] == 5
    assert len(live["metadata"]["managedFields"]) <= 2


async def test_a_single_operator_without_a_lease_works(
    hands: Hands, plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    with running_operator(kubeconfig(plane, "one"), tmp_path / "alone.log") as operator:
        await operator.ready()
        await create_and_wait(hands, namespace, "llm")
        assert _leads(operator)
