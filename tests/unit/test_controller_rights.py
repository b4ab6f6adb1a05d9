"""Rights: what the code needs is what the chart grants; what is missing is told by the resource that misses it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.controller_samples import NAMESPACE, resource
from tests.unit.fake_kube import FakeKube
from tests.unit.stores import filled
from trireme_operator.controller.queue import Key
from trireme_operator.controller.reconcile import Reconciler
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.controller.rights import ACCESS, NEEDED, OF_NODES, REVIEW, Missing, Right, Rights
from trireme_operator.kube import INFERENCE_CLUSTER, LEADER_WORKER_SET, SCALED_OBJECT, Fence, Kind, Obj, Unreachable
from trireme_operator.rendering import Settings
from trireme_operator.rendering.api_service import API_SERVICE_NAME

ROOT = Path(__file__).parents[2]
KEY = Key(NAMESPACE, "llm")
LIST_PODS = Right("list", "", "pods")
WATCH_PODS = Right("watch", "", "pods")
GET_GATEWAYS = Right("get", "gateway.networking.k8s.io", "gateways")
STATUS = Right("patch", "trireme.dev", "inferenceclusters/status")
DELETE_SETS = Right("delete", "leaderworkerset.x-k8s.io", "leaderworkersets")


def expand(rules: list[dict[str, Any]]) -> set[Right]:
    return {
        Right(verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


REGISTRATION = {Right("list", "apiregistration.k8s.io", "apiservices")}
"""What else is not for single objects by name: who has registered the metrics API (controller/registration.py)."""


def test_the_installed_role_grants_what_the_code_needs_and_nothing_else() -> None:
    role = yaml.safe_load((ROOT / "manifests/base/clusterrole.yaml").read_text())
    granted = expand([rule for rule in role["rules"] if "resourceNames" not in rule])
    needed = set(NEEDED) | REGISTRATION
    assert granted - needed == set(), "nothing in controller/rights.py needs these"
    assert needed - granted == set(), "the chart's _rules.tpl does not grant these"


def test_single_objects_are_granted_by_name_to_register_one_api_and_no_other() -> None:
    role = yaml.safe_load((ROOT / "manifests/base/clusterrole.yaml").read_text())
    named = {
        (verb, resource, name)
        for rule in role["rules"]
        for name in rule.get("resourceNames", ())
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert named == {("get", "clusterroles", "trireme-metrics-api")} | {
        (verb, "apiservices", API_SERVICE_NAME) for verb in ("create", "patch", "delete")
    }


class Reviews:
    """An API server that knows what the operator may do."""

    def __init__(self, granted: set[Right]) -> None:
        self.granted = set(granted)
        self.incomplete = False
        self.elsewhere: set[Right] = set()
        self.asked: list[str] = []
        self.down = False

    async def ask(self, kind: Kind, spec: Obj) -> Obj:
        if kind == ACCESS:
            found = spec["resourceAttributes"]
            name = "/".join(part for part in (found["resource"], found["subresource"]) if part)
            return {"status": {"allowed": Right(found["verb"], found["group"], name) in self.elsewhere}}
        assert kind == REVIEW
        self.asked.append(spec["namespace"])
        if self.down:
            raise Unreachable("no answer")
        rules = [
            {"verbs": [right.verb], "apiGroups": [right.group], "resources": [right.resource]} for right in self.granted
        ]
        named = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["only-this"]}
        return {"status": {"resourceRules": [*rules, named], "incomplete": self.incomplete}}


def rights(reviews: Reviews, *namespaces: str, changes: list[int] | None = None) -> Rights:
    fence = Fence()
    fence.open()
    told = changes if changes is not None else []
    return Rights(reviews, fence, asyncio.Event(), namespaces=namespaces, changed=lambda: told.append(1))


ALL = set(NEEDED)


@pytest.mark.parametrize("right", NEEDED, ids=str)
async def test_each_right_is_missed_by_a_resource_that_uses_it(right: Right) -> None:
    looked = rights(Reviews(ALL - {right}))
    await looked.look()
    using = resource(
        model={"source": "hf://a/b", "config": {"configMap": "dimensions"}},
        networkPolicy={"from": [{"podSelector": {}}]},
        autoscaling={"maxReplicas": 2, "source": "KEDA" if right.group == SCALED_OBJECT.group else "Auto"},
        gateway={"parentRefs": [{"name": "edge"}], "policy": "Careful", "endpointPicker": {}},
    )
    assert looked.missing(using).rights == (right,)
    assert str(right) in str(looked.missing(using))


async def test_the_right_to_nodes_is_missed_only_where_it_is_asked_for() -> None:
    looked = rights(Reviews(ALL))
    await looked.look()
    assert not looked.missing(resource())
    fence = Fence()
    fence.open()
    needed = (*NEEDED, *OF_NODES)
    looked = Rights(Reviews(ALL), fence, asyncio.Event(), namespaces=(), changed=lambda: None, needed=needed)
    await looked.look()
    missing = looked.missing(resource())
    assert missing.rights == OF_NODES
    assert not missing.blinds, "groups are looked after all the same"
    assert "list nodes, watch nodes" in str(missing)
    assert "helm upgrade with nodeMaintenance.enabled=true" in str(missing)


async def test_what_a_resource_does_not_use_it_does_not_miss() -> None:
    policies = Right("create", "networking.k8s.io", "networkpolicies")
    monitors = Right("create", "monitoring.coreos.com", "podmonitors")
    looked = rights(Reviews(ALL - {GET_GATEWAYS, Right("get", "", "configmaps"), policies}))
    await looked.look()
    assert not looked.missing(resource(gateway=None))
    assert looked.missing(resource()).rights == (GET_GATEWAYS,)
    looked = rights(Reviews(ALL - {monitors}))
    await looked.look()
    assert not looked.missing(resource(monitoring={"podMonitor": "Never"}))
    assert looked.missing(resource()).rights == (monitors,)


async def test_a_star_grants_all_and_a_named_object_nothing() -> None:
    reviews = Reviews({Right("*", "*", "*")})
    looked = rights(reviews)
    await looked.look()
    assert not looked.missing(resource())
    reviews.granted = set()
    await looked.look()
    assert len(looked.missing(resource()).rights) > 20


async def test_each_namespace_is_asked_for_and_told_alone() -> None:
    reviews = Reviews(ALL - {WATCH_PODS})
    looked = rights(reviews, NAMESPACE, "other")
    await looked.look()
    assert reviews.asked == [NAMESPACE, "other"]
    assert looked.missing(resource()).rights == (WATCH_PODS,)
    elsewhere = resource()
    elsewhere["metadata"]["namespace"] = "third"
    assert not looked.missing(elsewhere)


async def test_only_news_wakes_the_resources_and_no_answer_is_none() -> None:
    changes: list[int] = []
    reviews = Reviews(ALL)
    looked = rights(reviews, changes=changes)
    await looked.look()
    assert changes == [], "nothing is missing, as everybody assumed"
    reviews.granted -= {WATCH_PODS}
    await looked.look()
    await looked.look()
    assert len(changes) == 1
    reviews.down = True
    await looked.look()
    assert looked.missing(resource())
    reviews.down, reviews.incomplete = False, True
    await looked.look()
    assert looked.missing(resource()).rights == (WATCH_PODS,), "no other authorizer allows it either"
    reviews.granted.discard(STATUS)
    reviews.elsewhere = {WATCH_PODS, STATUS}
    await looked.look()
    assert not looked.missing(resource()), "an authorizer that can not list its rules allows both"
    assert len(changes) == 2


async def test_it_looks_soon_after_a_refusal_and_never_while_standing_by() -> None:
    reviews, fence, refused = Reviews(ALL), Fence(), asyncio.Event()
    looked = Rights(reviews, fence, refused, namespaces=(), changed=lambda: None)
    running = asyncio.create_task(looked.run())
    await asyncio.sleep(0.05)
    assert reviews.asked == []
    fence.open()
    refused.set()
    async with asyncio.timeout(10):
        while not reviews.asked:  # noqa: ASYNC110 - its own pace is the point
            await asyncio.sleep(0.05)
    running.cancel()


class World:
    def __init__(self) -> None:
        self.kube = FakeKube()
        self.kube.add(INFERENCE_CLUSTER, resource())
        self.missing = Missing()

    async def reconcile(self) -> dict[str, dict[str, Any]]:
        now = lambda: datetime(2026, 1, 1, tzinfo=UTC)  # noqa: E731
        settings = Settings(launcher_image="x")
        store = await filled(self.kube)
        api = RecordingApi(self.kube, store)
        await Reconciler(api, store, settings, clock=now, missing=lambda _: self.missing).reconcile(KEY)
        status = self.kube.one(INFERENCE_CLUSTER, "llm")["status"]
        return {item["type"]: item for item in status["conditions"]}


async def test_a_missing_right_is_named_and_the_rest_goes_on() -> None:
    world = World()
    world.missing = Missing((DELETE_SETS,))
    conditions = await world.reconcile()
    assert len(world.kube.names(LEADER_WORKER_SET)) == 2
    for kind in ("Accepted", "Ready"):
        assert (conditions[kind]["status"], conditions[kind]["reason"]) == ("False", "MissingPermission")
        assert "delete leaderworkersets.leaderworkerset.x-k8s.io" in conditions[kind]["message"]
        assert "helm upgrade" in conditions[kind]["message"]
    assert conditions["Available"]["reason"] == "NoGroupReady"
    world.kube.writes.clear()
    await world.reconcile()
    assert world.kube.writes == [], "said once"
    world.missing = Missing()
    assert (await world.reconcile())["Accepted"]["status"] == "True"


async def test_without_sight_of_the_pods_nothing_is_touched_and_nothing_claimed() -> None:
    world = World()
    await world.reconcile()
    world.missing = Missing((LIST_PODS, WATCH_PODS))
    world.kube.writes.clear()
    conditions = await world.reconcile()
    assert [verb for verb, _, _ in world.kube.writes] == ["status"]
    assert conditions["Available"]["status"] == "Unknown"
    assert "list pods, watch pods" in conditions["Accepted"]["message"]
    assert world.kube.one(INFERENCE_CLUSTER, "llm")["status"]["zones"], "what was seen last stays"


async def test_a_refused_spec_is_told_before_a_missing_right() -> None:
    world = World()
    world.kube.one(INFERENCE_CLUSTER, "llm")["spec"]["podTemplate"] = {"spec": {"hostNetwork": True}}
    world.missing = Missing((DELETE_SETS,))
    assert (await world.reconcile())["Accepted"]["reason"] == "InvalidSpec"
