"""Geometry, names, weights and revisions: arithmetic that every other part relies on."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.resources import cluster, raw, zones
from trireme_operator.api import InvalidResource, WeightReason, parse
from trireme_operator.offline import judge
from trireme_operator.planning import (
    ClusterPlan,
    LiveTraffic,
    ZoneFacts,
    geometry,
    names,
    plan,
    pod_ranks,
    revision_name,
    template_inputs,
    weights,
)

DNS_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")

cluster_names = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
zone_names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("tensor", "pipeline", "per_pod", "pods", "ranks"),
    [
        pytest.param(1, 1, None, 1, 1, id="one rank in one pod"),
        pytest.param(8, 1, None, 1, 8, id="a layer shared inside one pod"),
        pytest.param(8, 2, None, 2, 8, id="a pipeline stage a pod"),
        pytest.param(3, 1, 1, 3, 1, id="a layer shared over three pods"),
        pytest.param(4, 4, 8, 2, 8, id="two pipeline stages a pod"),
        pytest.param(16, 2, 8, 4, 8, id="a layer shared over two pods"),
        pytest.param(1, 2, 2, 1, 2, id="the whole pipeline in one pod"),
    ],
)
def test_ranks_are_spread_over_pods(tensor: int, pipeline: int, per_pod: int | None, pods: int, ranks: int) -> None:
    accelerator = {} if per_pod is None else {"perPod": per_pod}
    shape = plan(cluster(parallelism={"tensor": tensor, "pipeline": pipeline}, accelerator=accelerator)).geometry
    assert (shape.pods, shape.ranks_per_pod, shape.world_size) == (pods, ranks, tensor * pipeline)
    assert shape.balancing is None


@pytest.mark.parametrize(("per_pod", "pods"), [(1, 16), (2, 8), (4, 4), (8, 2), (16, 1)], ids=str)
def test_replicas_are_spread_over_pods(per_pod: int, pods: int) -> None:
    sizes = {"tensor": 2, "pipeline": 2, "data": 4}
    shape = plan(cluster(parallelism=sizes, accelerator={"perPod": per_pod})).geometry
    assert (shape.pods, shape.world_size, shape.balancing) == (pods, 16, "Internal")
    assert [pod.serves for pod in pod_ranks(shape)] == [True] + [False] * (pods - 1)


def test_ranks_that_fit_no_number_of_pods_are_refused_with_the_arithmetic() -> None:
    with pytest.raises(InvalidResource) as caught:
        plan(cluster(parallelism={"tensor": 8, "pipeline": 2}, accelerator={"perPod": 6}))
    (violation,) = caught.value.violations
    assert violation.path == "spec.accelerator.perPod"
    assert violation.message == (
        "tensor 8 x pipeline 2 = 16 ranks need 1 pod of 16, or 2 of 8, or 4 of 4, or 8 of 2, or 16 of 1; perPod is 6"
    )


@settings(deadline=None)  # the first example compiles the rules
@given(
    tensor=st.integers(1, 16),
    pipeline=st.integers(1, 6),
    data=st.integers(1, 6),
    per_pod=st.none() | st.integers(1, 64),
    expert=st.booleans(),
    balancing=st.sampled_from([None, "Internal", "Hybrid", "External"]),
)
def test_what_the_rules_let_pass_has_a_shape_whose_pods_are_alike(  # noqa: PLR0917
    tensor: int, pipeline: int, data: int, per_pod: int | None, expert: bool, balancing: str | None
) -> None:
    parallelism: dict[str, Any] = {"tensor": tensor, "pipeline": pipeline, "data": data, "expert": expert}
    parallelism |= {"loadBalancing": balancing} if balancing else {}
    document = raw(parallelism=parallelism, accelerator={"perPod": per_pod} if per_pod else {})
    if judge(document).findings:
        return
    shape = geometry(cluster(**{key: document["spec"][key] for key in ("parallelism", "accelerator")}))
    pods = pod_ranks(shape)
    ranks = [rank for pod in pods for rank in pod.ranks]
    assert [(rank.number) for rank in ranks] == list(range(tensor * pipeline * data))
    assert len({(rank.data, rank.pipeline, rank.tensor) for rank in ranks}) == len(ranks)
    for pod in pods:
        replicas = {rank.data for rank in pod.ranks}
        # A pod never holds parts of two replicas, nor of two stages.
        assert len(replicas) == 1 or len(pod.ranks) == len(replicas) * tensor * pipeline
        stages = {(rank.data, rank.pipeline) for rank in pod.ranks}
        assert len(stages) == 1 or len(pod.ranks) == len(stages) * tensor
        assert pod.serves == (pod.leader or balancing in {"Hybrid", "External"})
        assert balancing != "External" or len(replicas) == 1
        assert balancing != "Hybrid" or len(replicas) > 1


def test_without_zones_there_is_one_pool_with_one_service() -> None:
    planned = plan(cluster("llama", replicas=3))
    (pool,) = planned.zones
    assert (pool.name, pool.lws_name, pool.replicas, pool.weight > 0) == (None, "llama", 3, True)
    assert pool.service_name == planned.service_name == "llama-http"
    assert not planned.zoned
    assert plan(cluster("llama")).zones[0].replicas == 1
    assert plan(cluster("llama", replicas=0)).zones[0].replicas == 0


def test_zones_keep_the_order_of_the_spec() -> None:
    planned = plan(cluster("llama", zones=zones("b", "a", "c")))
    assert [zone.name for zone in planned.zones] == ["b", "a", "c"]
    assert planned.zoned


@pytest.mark.parametrize(
    ("zone", "want"),
    [
        pytest.param("us-west-2a", "llama-us-west-2a", id="a plain name is kept whole"),
        pytest.param("Zone_1.b", r"llama-zone-1-b-[0-9a-f]{6}", id="characters that DNS does not have"),
        pytest.param("z" * 63, r"llama-z{35}-[0-9a-f]{6}", id="too long"),
        pytest.param("http", r"llama-http-[0-9a-f]{6}", id="the headless Service would be our own Service"),
        pytest.param("a-http", r"llama-a-http-[0-9a-f]{6}", id="the headless Service would be zone a's Service"),
    ],
)
def test_the_name_of_a_zones_group_set(zone: str, want: str) -> None:
    assert re.fullmatch(want, names.lws_name("llama", zone))


@given(name=cluster_names, zone_list=st.lists(zone_names, unique=True, min_size=1, max_size=16))
def test_names_are_valid_short_and_never_meet(name: str, zone_list: list[str]) -> None:
    planned = plan(parse(raw(name, zones=zones(*zone_list))))
    sets = [zone.lws_name for zone in planned.zones]
    services = [planned.service_name, *(zone.service_name for zone in planned.zones)]
    assert all(DNS_1035.match(item) for item in sets + services)
    assert all(len(item) <= 48 for item in sets)
    assert all(len(item) <= 63 for item in services)
    everything = sets + services  # LeaderWorkerSet makes a headless Service of each set's name
    assert len(everything) == len(set(everything))


@given(name=cluster_names)
def test_names_without_zones_never_meet(name: str) -> None:
    planned = plan(parse(raw(name)))
    assert planned.zones[0].lws_name != planned.service_name


@given(zone_list=st.lists(zone_names, unique=True, min_size=1, max_size=8), replicas=st.integers(0, 5))
def test_a_plan_depends_on_the_spec_alone(zone_list: list[str], replicas: int) -> None:
    of = zones(*zone_list, replicas=replicas)
    assert plan(cluster(zones=of)) == plan(cluster(zones=of))


# Weights


def planned(**of: tuple[int, int]) -> ClusterPlan:
    """A plan with zones of (spec weight, spec replicas)."""
    spec = [{"name": name, "weight": weight, "replicas": replicas} for name, (weight, replicas) in of.items()]
    return plan(cluster(zones=spec))


def given_weights(
    of: ClusterPlan, ready: dict[str | None, int], live: dict[str | None, int] | None = None
) -> dict[str | None, int]:
    facts = {name: ZoneFacts(ready=number, settled=number) for name, number in ready.items()}
    found = weights(of, facts, live=None if live is None else LiveTraffic(live))
    return {name: weight.weight for name, weight in found.items()}


@pytest.mark.parametrize(
    ("ready", "live", "want"),
    [
        pytest.param({}, None, {"a": 60, "b": 40}, id="before any zone was ever ready: the spec"),
        pytest.param({"a": 2, "b": 1}, None, {"a": 60, "b": 40}, id="all ready: the spec"),
        pytest.param({"a": 1, "b": 1}, None, {"a": 30, "b": 40}, id="half of a zone's groups: half of its weight"),
        pytest.param({"b": 1}, {"a": 60, "b": 40}, {"a": 0, "b": 40}, id="a zone without a ready group: nothing"),
        pytest.param({}, {"a": 0, "b": 40}, {"a": 0, "b": 40}, id="all look bad: what was out stays out"),
        pytest.param({}, {"a": 30, "b": 40}, {"a": 60, "b": 40}, id="all look bad: nothing is moved away"),
        pytest.param({}, {"a": 0, "b": 0}, {"a": 60, "b": 40}, id="a route with nothing in traffic is no memory"),
        pytest.param({"a": 2, "b": 1}, {"a": 0, "b": 40}, {"a": 60, "b": 40}, id="a zone that is ready again is back"),
        pytest.param({}, {"b": 40}, {"a": 60, "b": 40}, id="a zone that the route does not have yet is not held"),
        pytest.param({"a": 5, "b": 1}, None, {"a": 60, "b": 40}, id="more groups than asked for count no more"),
    ],
)
def test_weights_follow_ready_groups(
    ready: dict[str | None, int], live: dict[str | None, int] | None, want: dict[str, int]
) -> None:
    assert given_weights(planned(a=(60, 2), b=(40, 1)), ready, live) == want


def test_a_weight_says_why_it_is_what_it_is() -> None:
    ready = ZoneFacts(ready=1)
    found = weights(planned(a=(60, 2), b=(40, 1), c=(10, 1), d=(0, 1)), {"a": ready, "b": ready})
    assert {name: weight.reason for name, weight in found.items()} == {
        "a": WeightReason.PARTLY_READY,
        "b": WeightReason.HEALTHY,
        "c": WeightReason.NO_READY_GROUP,
        "d": WeightReason.NOT_ASKED_FOR,
    }
    held = weights(planned(a=(60, 1), b=(40, 1)), {}, live=LiveTraffic({"a": 0, "b": 1}))
    assert [weight.reason for weight in held.values()] == [WeightReason.HELD_AT_ZERO, WeightReason.NOTHING_READY]


def test_a_zone_without_groups_gets_nothing_even_before_anything_is_ready() -> None:
    assert given_weights(planned(a=(60, 0), b=(40, 1)), {}) == {"a": 0, "b": 40}


def test_a_zone_of_weight_zero_is_no_survivor_that_others_are_emptied_for() -> None:
    assert given_weights(planned(a=(0, 1), b=(40, 1)), {"a": 1}) == {"a": 0, "b": 40}


def test_the_only_backend_of_a_pool_always_has_a_weight() -> None:
    pool = plan(cluster(replicas=3))
    assert [given_weights(pool, {None: ready})[None] > 0 for ready in (0, 1, 3)] == [True, True, True]


zone_specs = st.tuples(st.integers(1, 1000), st.integers(1, 1000))
plans = st.lists(zone_specs, min_size=1, max_size=5).map(
    lambda pairs: planned(**{f"z{index}": pair for index, pair in enumerate(pairs)})
)


@given(of=plans, data=st.data())
def test_a_ready_zone_is_never_rounded_to_nothing(of: ClusterPlan, data: st.DataObject) -> None:
    ready: dict[str | None, int] = {zone.name: data.draw(st.integers(0, 1200)) for zone in of.zones}
    found = given_weights(of, ready)
    for zone in of.zones:
        assert 0 <= found[zone.name] <= zone.weight
        if ready[zone.name]:
            assert found[zone.name] >= 1
        elif any(ready.values()):
            assert found[zone.name] == 0


@given(of=plans, data=st.data())
def test_scaling_up_takes_no_traffic_away(of: ClusterPlan, data: st.DataObject) -> None:
    ready: dict[str | None, int] = {zone.name: data.draw(st.integers(1, zone.replicas)) for zone in of.zones}
    scaled = data.draw(st.sampled_from(of.zones)).name
    more = {**ready, scaled: ready[scaled] + data.draw(st.integers(1, 10))}
    before, after = given_weights(of, ready), given_weights(of, more)
    assert after[scaled] >= before[scaled]
    assert {name: weight for name, weight in after.items() if name != scaled} == {
        name: weight for name, weight in before.items() if name != scaled
    }


@given(of=plans, data=st.data())
def test_some_zone_has_a_weight_whatever_is_observed(of: ClusterPlan, data: st.DataObject) -> None:
    numbers = st.integers(0, 3)
    ready: dict[str | None, int] = {zone.name: data.draw(numbers) for zone in of.zones}
    live = data.draw(st.none() | st.fixed_dictionaries({zone.name: numbers for zone in of.zones}))
    assert any(given_weights(of, ready, live).values())


# Revisions

HUB = "hf://meta-llama/Llama-3.1-8B-Instruct"
CHANGES: dict[str, dict[str, Any]] = {
    "the source": {"model": {"source": "/models/other"}},
    "the served name": {"model": {"source": "hf://meta-llama/Llama-3.1-8B-Instruct", "servedName": "x"}},
    "the image": {"engine": {"image": "vllm/vllm-openai:v0.34.0"}},
    "a setting": {"engine": {"config": {"maxModelLen": 4096}}},
    "an argument": {"engine": {"extraArgs": ["--async-scheduling"]}},
    "the pull policy": {"engine": {"imagePullPolicy": "Always"}},
    "tensor": {"parallelism": {"tensor": 2}},
    "pipeline": {"parallelism": {"pipeline": 2}},
    "data": {"parallelism": {"data": 2}},
    "expert": {"parallelism": {"expert": True}},
    "the device": {"accelerator": {"resource": "cpu"}},
    "a request": {"resources": {"requests": {"cpu": "1"}}},
    "a limit": {"resources": {"limits": {"memory": "1Gi"}}},
    "shared memory": {"resources": {"sharedMemory": "1Gi"}},
    "a profile": {"engine": {"profile": "production"}},
    "the format of the cache": {"engine": {"config": {"kvCacheDtype": "fp8"}}},
    "eager": {"engine": {"config": {"enforceEager": False}}},
    "a credential": {"model": {"source": HUB, "credentials": [{"name": "A", "secret": "s", "key": "k"}]}},
    "a claim for the cache": {"model": {"source": HUB, "cache": {"persistentVolumeClaim": "c"}}},
    "a directory for the cache": {"model": {"source": HUB, "cache": {"emptyDir": {"sizeLimit": "1Gi"}}}},
    "a region": {"model": {"source": "s3://bucket/m", "s3": {"region": "eu-central-1"}}},
    "a limit of silence": {"health": {"memberLostSeconds": 60}},
    "no canary": {"health": {"canary": {"mode": "Disabled"}}},
    "the overlay": {"podTemplate": {"spec": {"priorityClassName": "high"}}},
}
NO_CHANGES: dict[str, dict[str, Any]] = {
    "zones": {"zones": zones("a", "b")},
    "replicas": {"replicas": 4},
    "the Service": {"service": {"type": "LoadBalancer"}},
    "the gateway": {"gateway": {"parentRefs": [{"name": "edge"}]}},
    "the default written out": {"accelerator": {"perPod": 1}, "parallelism": {"data": 1, "expert": False}},
    "the default name written out": {
        "model": {"source": "hf://meta-llama/Llama-3.1-8B-Instruct", "servedName": "llama"}
    },
    "the same amount in other words": {"resources": {"sharedMemory": "8192Mi"}},
    "an empty overlay": {"podTemplate": {}},
    "the defaults of health written out": {"health": {"memberSilentSeconds": 3, "canary": {"maxTokens": 1}}},
    "nothing of health": {"health": {"canary": {}}},
    "no credentials written out": {"model": {"source": HUB, "credentials": []}},
}


@pytest.mark.parametrize("spec", [pytest.param(spec, id=what) for what, spec in CHANGES.items()])
def test_what_reaches_a_pod_makes_a_new_revision(spec: dict[str, Any]) -> None:
    assert revision_name(cluster(**spec)) != revision_name(cluster())


@pytest.mark.parametrize("spec", [pytest.param(spec, id=what) for what, spec in NO_CHANGES.items()])
def test_what_reaches_no_pod_makes_none(spec: dict[str, Any]) -> None:
    assert template_inputs(cluster(**spec)) == template_inputs(cluster())
    assert revision_name(cluster(**spec)) == revision_name(cluster())


def test_a_revision_keeps_its_name_in_later_versions() -> None:
    """A change here means that an upgrade of the operator would restart every group there is."""
    assert revision_name(cluster("llama")) == "llama-5513fe3492"


def test_a_revisions_name_is_the_resources_and_ten_digits() -> None:
    assert re.fullmatch(r"llama-[0-9a-f]{10}", revision_name(cluster("llama")))


def test_the_default_balancing_and_the_one_written_out_are_one_revision() -> None:
    plain, said = {"data": 2}, {"data": 2, "loadBalancing": "Internal"}
    assert revision_name(cluster(parallelism=plain)) == revision_name(cluster(parallelism=said))
    assert revision_name(cluster(parallelism=plain)) != revision_name(
        cluster(parallelism=plain | {"loadBalancing": "External"})
    )
