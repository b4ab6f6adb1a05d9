"""The metrics server's APIService: registered, withheld and taken away."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from tests.unit.fake_kube import FakeKube
from trireme_operator.controller import registration as module
from trireme_operator.controller.reach import Reach, UnreachedError
from trireme_operator.controller.registration import (
    FIRST_SECONDS,
    HARM_SECONDS,
    IDLE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PAUSE_SECONDS,
    PROVEN_SECONDS,
    STEP_SECONDS,
    Registration,
)
from trireme_operator.kube import (
    API_SERVICE,
    CLUSTER_ROLE,
    NAMESPACE,
    SECRET,
    Conflict,
    Fence,
    FencedApi,
    Kind,
    Unreachable,
)
from trireme_operator.rendering.api_service import API_SERVICE_NAME, MetricsService, api_service

Obj = dict[str, Any]
SERVICE = MetricsService("trireme-system", "trireme-metrics-api")
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


class World:
    """A cluster with the chart's objects, a server that answers or not, and a clock that the test moves."""

    def __init__(self) -> None:
        self.api = FakeKube()
        where = {"namespace": SERVICE.namespace, "name": SERVICE.name}
        self.secret = self.api.add(SECRET, {"metadata": where, "data": {"ca.crt": encoded(PEM)}})
        self.role = self.api.add(CLUSTER_ROLE, {"metadata": {"name": SERVICE.name}})
        self.namespace = self.api.add(NAMESPACE, {"metadata": {"name": SERVICE.namespace}})
        self.wanted, self.is_known, self.now = True, True, 1000.0
        self.problem: str | None = None
        self.through = True
        self.asked: list[str] = []
        self.told = 0
        self.fence = Fence()
        self.fence.open()
        self.registration = Registration(
            FencedApi(self.api, self.fence),
            self,
            self.fence,
            SERVICE,
            wanted=self,
            answers=self.answer,
            changed=self.changed,
            clock=lambda: self.now,
        )

    def __call__(self) -> bool:
        return self.wanted

    def changed(self) -> None:
        self.told += 1

    async def knows(self, path: str, *, seconds: float) -> bool:
        assert (path, seconds) == ("/apis/custom.metrics.k8s.io/v1beta2", 2.0)
        return self.through

    async def answer(self, service: MetricsService, authorities: str) -> None:
        assert service == SERVICE
        self.asked.append(authorities)
        if self.problem is not None:
            raise UnreachedError(self.problem)

    async def pass_seconds(self, seconds: float) -> None:
        """The API server finds it available, unless `available` was told otherwise, and the operator looks."""
        until = self.now + seconds
        while self.now < until:
            self.now += STEP_SECONDS
            await self.registration.step()

    def available(self, status: str = "True", reason: str = "Passed") -> None:
        condition = {"type": "Available", "status": status, "reason": reason, "message": "as the API server says"}
        self.live["status"] = {"conditions": [condition]}

    @property
    def live(self) -> Obj:
        return self.api.one(API_SERVICE, API_SERVICE_NAME, "")

    def is_registered(self) -> bool:
        assert (API_SERVICE_NAME in self.api.names(API_SERVICE)) is self.registration.registered
        return self.registration.registered

    async def start(self) -> None:
        await self.registration.step()
        assert self.is_registered()
        self.available()
        await self.pass_seconds(STEP_SECONDS)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def foreign(name: str = "v1beta1.custom.metrics.k8s.io") -> Obj:
    service = {"namespace": "monitoring", "name": "prometheus-adapter"}
    spec = {"group": "custom.metrics.k8s.io", "version": name.partition(".")[0], "service": service}
    return {"metadata": {"name": name}, "spec": spec}


async def test_it_is_registered_after_the_server_answered_under_its_authorities() -> None:
    world = World()
    world.problem = "connection refused"
    await world.registration.step()
    assert not world.is_registered()

    world.problem = None
    await world.pass_seconds(STEP_SECONDS)
    assert world.is_registered()
    assert world.asked == [PEM, PEM]
    assert world.live["spec"]["caBundle"] == encoded(PEM)
    assert world.live["spec"]["service"] == {"namespace": SERVICE.namespace, "name": SERVICE.name, "port": 443}
    (owner,) = world.live["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("ClusterRole", world.role["metadata"]["uid"])
    assert world.told == 1


async def test_at_rest_nothing_is_written() -> None:
    world = World()
    await world.start()
    writes = list(world.api.writes)
    await world.pass_seconds(PROVEN_SECONDS)
    assert world.api.writes == writes
    assert world.is_registered()


async def test_nobody_wants_it_and_nothing_is_asked() -> None:
    world = World()
    world.wanted = False
    asked: list[str] = []

    def note(verb: str, _kind: Kind, _name: str) -> Exception | None:
        asked.append(verb)
        return None

    world.api.fail = note
    await world.pass_seconds(IDLE_SECONDS * 2)
    assert asked == ["list"] * 2, "now and then it looks for what was left behind"
    assert world.asked == []


async def test_it_goes_with_the_last_resource_that_wants_it() -> None:
    world = World()
    await world.start()
    world.wanted = False
    await world.pass_seconds(STEP_SECONDS)
    assert not world.is_registered()
    world.wanted = True
    await world.pass_seconds(STEP_SECONDS)
    assert world.is_registered(), "that was no harm, so there is no pause"


async def test_what_an_operator_before_left_behind_is_taken_away() -> None:
    world = World()
    world.wanted = False
    world.api.add(API_SERVICE, api_service(SERVICE, authorities=PEM, owner_uid="x"))
    await world.registration.step()
    assert not world.is_registered()


@pytest.mark.parametrize("name", ["v1beta1.custom.metrics.k8s.io", API_SERVICE_NAME])
async def test_somebody_elses_is_never_taken_over(name: str) -> None:
    world = World()
    theirs = world.api.add(API_SERVICE, foreign(name))
    await world.pass_seconds(STEP_SECONDS * 3)
    assert world.registration.registered is False
    assert world.api.writes == []
    assert world.api.one(API_SERVICE, name, "") == theirs


async def test_one_that_leads_to_our_service_without_our_label_is_left_alone() -> None:
    world = World()
    by_hand = api_service(SERVICE, authorities=PEM, owner_uid="x")
    del by_hand["metadata"]["labels"]
    world.api.add(API_SERVICE, by_hand)
    await world.pass_seconds(STEP_SECONDS * 3)
    assert world.api.writes == []


async def test_one_that_comes_later_gets_the_group_to_itself() -> None:
    world = World()
    await world.start()
    world.api.add(API_SERVICE, foreign())
    await world.pass_seconds(STEP_SECONDS)
    assert not world.is_registered()
    assert world.api.names(API_SERVICE) == {"v1beta1.custom.metrics.k8s.io"}


async def test_of_two_that_register_at_once_the_first_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    answer = world.answer

    async def slow(service: MetricsService, authorities: str) -> None:
        await answer(service, authorities)
        world.api.add(API_SERVICE, foreign(API_SERVICE_NAME))

    monkeypatch.setattr(world.registration, "_answers", slow)
    await world.registration.step()
    assert world.registration.registered is False
    assert world.live["spec"]["service"]["name"] == "prometheus-adapter"


@pytest.mark.parametrize("how", ["unavailable", "hanging"])
async def test_harm_of_five_seconds_takes_it_away(how: str) -> None:
    world = World()
    await world.start()
    if how == "unavailable":
        world.available("False", "MissingEndpoints")
    else:
        world.through = False
    world.problem = "no answer"
    began = world.now
    while world.is_registered():
        await world.pass_seconds(STEP_SECONDS)
    assert HARM_SECONDS <= world.now - began <= HARM_SECONDS + 2 * STEP_SECONDS


async def test_a_short_failure_changes_nothing() -> None:
    world = World()
    await world.start()
    for _ in range(10):
        world.available("False", "FailedDiscoveryCheck")
        await world.pass_seconds(2 * STEP_SECONDS)
        world.available()
        await world.pass_seconds(STEP_SECONDS)
    assert world.is_registered()


async def test_a_new_one_that_is_never_available_goes_again() -> None:
    world = World()
    await world.registration.step()
    assert world.is_registered()
    await world.pass_seconds(FIRST_SECONDS)
    assert world.is_registered()
    await world.pass_seconds(2 * STEP_SECONDS)
    assert not world.is_registered()


async def test_it_comes_back_with_a_growing_pause_that_a_good_time_forgets() -> None:
    world = World()
    pauses = []
    for _ in range(8):
        await world.start()
        world.available("False")
        while world.is_registered():
            await world.pass_seconds(STEP_SECONDS)
        gone = world.now
        while not world.is_registered():
            world.now += STEP_SECONDS
            await world.registration.step()
        pauses.append(world.now - gone)
        world.available()
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    assert (PAUSE_SECONDS, LONGEST_PAUSE_SECONDS) == (10, 300)

    await world.pass_seconds(PROVEN_SECONDS + 2 * STEP_SECONDS)
    world.available("False")
    await world.pass_seconds(HARM_SECONDS + 2 * STEP_SECONDS)
    assert not world.is_registered()
    await world.pass_seconds(PAUSE_SECONDS)
    assert world.is_registered()


async def test_it_goes_when_its_own_namespace_goes() -> None:
    world = World()
    await world.start()
    world.namespace["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await world.pass_seconds(STEP_SECONDS)
    assert not world.is_registered()
    await world.pass_seconds(PAUSE_SECONDS)
    assert not world.is_registered()


async def test_new_authorities_and_a_new_owner_are_taken_up() -> None:
    world = World()
    await world.start()
    uid = world.live["metadata"]["uid"]
    world.secret["data"]["ca.crt"] = encoded(PEM * 2)
    world.role["metadata"]["uid"] = "another"
    await world.pass_seconds(STEP_SECONDS)
    assert world.live["spec"]["caBundle"] == encoded(PEM * 2)
    assert [owner["uid"] for owner in world.live["metadata"]["ownerReferences"]] == ["another"]
    assert world.live["metadata"]["uid"] == uid
    writes = len(world.api.writes)
    await world.pass_seconds(STEP_SECONDS * 3)
    assert len(world.api.writes) == writes


@pytest.mark.parametrize("missing", ["certificate", "owner"])
async def test_without_certificate_or_owner_it_is_not_registered_and_a_good_one_stays(missing: str) -> None:
    world = World()
    await world.start()

    def remove() -> None:
        if missing == "certificate":
            world.secret["data"] = {}
        else:
            del world.api.objects[CLUSTER_ROLE, "", SERVICE.name]

    remove()
    await world.pass_seconds(STEP_SECONDS * 3)
    assert world.is_registered()
    fresh = World()
    world = fresh
    remove()
    await world.pass_seconds(STEP_SECONDS * 3)
    assert not world.is_registered()


async def test_another_ones_object_of_the_same_name_is_not_deleted() -> None:
    world = World()
    await world.start()
    world.wanted = False

    def swap(verb: str, _kind: Kind, _name: str) -> Exception | None:
        return Conflict("the UID differs", status=409) if verb == "delete" else None

    world.api.fail = swap
    await world.pass_seconds(STEP_SECONDS)
    assert API_SERVICE_NAME in world.api.names(API_SERVICE)


async def test_it_runs_where_it_may_write_and_knows_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_SECONDS", 0.001)
    world = World()
    world.fence.close()
    failures = [Unreachable("no answer")]
    world.api.fail = lambda verb, kind, name: failures.pop() if failures else None
    task = asyncio.create_task(world.registration.run())
    try:
        await asyncio.sleep(0.02)
        assert not world.is_registered()
        world.fence.open()
        world.is_known = False
        await asyncio.sleep(0.02)
        assert not world.is_registered()
        world.is_known = True
        async with asyncio.timeout(5):
            while not world.is_registered():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
        assert not failures, "the first look failed, and there was a second one"
    finally:
        task.cancel()


async def test_a_server_that_is_not_there_is_named_with_its_address() -> None:
    with pytest.raises(UnreachedError, match=r"GET https://trireme-metrics-api\.trireme-system\.svc/readyz"):
        await Reach()(SERVICE, "no PEM")
