"""What the golden files can't say in one case: how rendered objects change with the resource, and what never does."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.golden.cases import CASES, FOLDER
from tests.unit.resources import cluster, zones
from trireme_operator import rendering
from trireme_operator.api import parse
from trireme_operator.api.labels import ANNOTATION_HASH
from trireme_operator.planning import ClusterPlan, ZoneFacts, plan, weights
from trireme_operator.rendering.scaled_object import scaled_object

Obj = dict[str, Any]
SETTINGS = rendering.Settings("ghcr.io/trireme/runtime:1")
GATEWAY = {"parentRefs": [{"name": "edge"}]}


def template(**spec: Any) -> Obj:
    resource = cluster(**spec)
    return rendering.render_template(resource, plan(resource), SETTINGS)


def group_set(zone: int = 0, stored: Obj | None = None, **spec: Any) -> Obj:
    resource = cluster(**spec)
    planned = plan(resource)
    body = stored or rendering.render_template(resource, planned, SETTINGS)
    return rendering.leader_worker_set(resource, planned, planned.zones[zone], revision_name="llama-1", template=body)


def arguments(**spec: Any) -> list[str]:
    (container,) = template(**spec)["leaderTemplate"]["spec"]["containers"]
    return list(container["args"])


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param(
            {"model": {"source": "hf://org/name"}},
            ["vllm", "serve", "org/name", "--served-model-name", "llama", "--port", "8000"],
            id="a model of the hub",
        ),
        pytest.param(
            {"model": {"source": "hf://org/name@refs/pr/1", "servedName": "m"}},
            ["vllm", "serve", "org/name", "--revision", "refs/pr/1", "--served-model-name", "m", "--port", "8000"],
            id="one revision of it",
        ),
        pytest.param(
            {"model": {"source": "/models/m"}},
            ["vllm", "serve", "/models/m", "--served-model-name", "llama", "--port", "8000"],
            id="a path in the image",
        ),
    ],
)
def test_the_model_is_named_as_the_engine_wants_it(spec: Obj, want: list[str]) -> None:
    assert arguments(**spec) == want


@pytest.mark.parametrize(("percent", "want"), [(1, "0.01"), (9, "0.09"), (90, "0.90"), (100, "1.00")])
def test_percent_becomes_a_fraction_without_rounding(percent: int, want: str) -> None:
    words = arguments(engine={"config": {"gpuMemoryPercent": percent}})
    assert words[words.index("--gpu-memory-utilization") + 1] == want


def test_every_flag_we_write_is_one_that_the_engine_has() -> None:
    config = {"maxModelLen": 1, "gpuMemoryPercent": 1, "maxNumSeqs": 1, "maxNumBatchedTokens": 1}
    words = arguments(model={"source": "hf://o/n@r"}, engine={"config": config})
    snapshot = next((Path(__file__).parents[1] / "double").glob("flags-*.json"))
    options = {option for flag in json.loads(snapshot.read_text())["flags"] for option in flag["options"]}
    assert {word for word in words if word.startswith("-")} <= options
    assert len([word for word in words if word.startswith("-")]) == 7


def test_the_users_arguments_come_last_and_arrive_as_they_were_written() -> None:
    """The kubelet makes `$(HOME)` of `$$(HOME)`, and a path of `$(HOME)`."""
    assert arguments(engine={"extraArgs": ["--a=$(HOME)", "b c"]})[-2:] == ["--a=$$(HOME)", "b c"]


def test_a_template_does_not_depend_on_zones() -> None:
    assert template(zones=zones("a", "b", replicas=3)) == template(replicas=2) == template()


def test_a_zone_is_placed_by_its_nodes_label_and_told_to_the_launcher() -> None:
    for name, spec in (("leaderTemplate", "a"), ("workerTemplate", "b")):
        zone = 0 if spec == "a" else 1
        pod = group_set(zone, zones=zones("a", "b"))["spec"]["leaderWorkerTemplate"][name]
        assert pod["spec"]["nodeSelector"] == {"topology.kubernetes.io/zone": spec}
        assert {"name": "TRIREME_ZONE", "value": spec} in pod["spec"]["containers"][0]["env"]
        assert "podAffinity" not in pod["spec"].get("affinity", {}), "the nodes' label says it already"


def test_without_zones_a_group_of_several_pods_stays_inside_one_zone() -> None:
    (term,) = group_set(parallelism={"pipeline": 2})["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"][
        "affinity"
    ]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term == {
        "topologyKey": "topology.kubernetes.io/zone",
        "labelSelector": {"matchLabels": {"leaderworkerset.sigs.k8s.io/name": "llama"}},
        "matchLabelKeys": ["leaderworkerset.sigs.k8s.io/group-index"],
    }
    alone = group_set()["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]
    assert "podAffinity" not in alone["affinity"]


def test_an_affinity_of_the_user_is_kept_beside_ours() -> None:
    theirs = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "cache"}}}
    overlay = {"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [theirs]}}}}
    pod = group_set(parallelism={"pipeline": 2}, podTemplate=overlay)["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    terms = pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms[0] == theirs
    assert len(terms) == 2


@pytest.mark.parametrize("case", CASES)
def test_a_template_is_found_again_in_what_was_placed(case: str) -> None:
    resource = parse(yaml.safe_load((FOLDER / case / "input.yaml").read_text()))
    planned = plan(resource)
    stored = rendering.render_template(resource, planned, SETTINGS)
    for zone in planned.zones:
        made = rendering.leader_worker_set(resource, planned, zone, revision_name="llama-1", template=stored)
        assert rendering.unplace(made["spec"]["leaderWorkerTemplate"], zone) == stored


def test_what_the_user_asked_of_affinity_and_nodes_stays_when_a_template_is_found_again() -> None:
    theirs = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "cache"}}}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    extra = {"spec": {"affinity": {"podAffinity": {required: [theirs]}}, "nodeSelector": {"disk": "fast"}}}
    for zoned in (zones("a"), None):
        spec: Obj = {"podTemplate": extra, "parallelism": {"pipeline": 2}} | ({"zones": zoned} if zoned else {})
        resource = cluster(**spec)
        made = group_set(**spec)["spec"]["leaderWorkerTemplate"]
        assert rendering.unplace(made, plan(resource).zones[0]) == template(**spec)


def test_placing_leaves_the_stored_template_as_it_is() -> None:
    stored = template()
    before = copy.deepcopy(stored)
    group_set(stored=stored, zones=zones("a"))
    group_set(stored=stored, parallelism={"pipeline": 2})
    assert stored == before


def test_the_stored_template_is_used_and_not_a_new_one() -> None:
    stored = template(engine={"image": "example.com/old:1"})
    placed = group_set(stored=stored, engine={"image": "example.com/new:1"})
    container = placed["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["containers"][0]
    assert container["image"] == "example.com/old:1"


def test_the_number_of_groups_is_never_part_of_the_set_itself() -> None:
    resource = cluster(zones=zones("a", replicas=3))
    assert "replicas" not in group_set(zones=zones("a", replicas=3))["spec"]
    assert rendering.lws_replicas(resource, plan(resource).zones[0])["spec"] == {"replicas": 3}


def test_one_late_answer_removes_no_leader_and_a_broken_group_leaves_in_time() -> None:
    silence = 3  # seconds until a launcher says that a silent member is one
    for name in ("leaderTemplate", "workerTemplate"):
        probe = template()[name]["spec"]["containers"][0]["readinessProbe"]
        assert probe["timeoutSeconds"] > 2 * probe["periodSeconds"], "a late answer is no failure"
        assert silence + probe["periodSeconds"] * probe["failureThreshold"] < 5
        assert (probe["periodSeconds"] + probe["timeoutSeconds"]) * probe["failureThreshold"] < 5, "no answer at all"


def test_ranks_without_a_device_ask_for_none() -> None:
    (container,) = template(accelerator={"resource": "cpu"})["workerTemplate"]["spec"]["containers"]
    assert container["resources"] == {}
    (container,) = template(parallelism={"tensor": 4})["workerTemplate"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"nvidia.com/gpu": "4"}, "limits": {"nvidia.com/gpu": "4"}}


def test_a_variable_of_the_user_takes_the_place_of_a_default_as_a_whole() -> None:
    reference = {"name": "HF_HOME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    overlay = {"spec": {"containers": [{"name": "engine", "env": [reference]}]}}
    (container,) = template(podTemplate=overlay)["leaderTemplate"]["spec"]["containers"]
    assert [variable for variable in container["env"] if variable["name"] == "HF_HOME"] == [reference]


# Services and routes


def weighed(planned: ClusterPlan) -> Any:
    return weights(planned, {})


def test_without_zones_the_service_of_the_pool_is_the_service_over_all() -> None:
    resource = cluster(service={"type": "LoadBalancer"})
    planned = plan(resource)
    assert rendering.zone_service(resource, planned, planned.zones[0]) == rendering.service(resource, planned)


def test_only_the_service_over_all_zones_is_reached_from_outside() -> None:
    resource = cluster(zones=zones("a"), service={"type": "NodePort", "annotations": [{"name": "a", "value": "b"}]})
    planned = plan(resource)
    outside, inside = (
        rendering.service(resource, planned),
        rendering.zone_service(resource, planned, planned.zones[0]),
    )
    assert (outside["spec"]["type"], inside["spec"]["type"]) == ("NodePort", "ClusterIP")
    assert outside["metadata"]["annotations"]["a"] == "b"
    assert "a" not in inside["metadata"]["annotations"]


def test_services_select_serving_pods_of_their_zone() -> None:
    resource = cluster(zones=zones("a", "b"))
    planned = plan(resource)
    leader = group_set(1, zones=zones("a", "b"))["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["metadata"]["labels"]
    worker = group_set(1, zones=zones("a", "b"))["spec"]["leaderWorkerTemplate"]["workerTemplate"]["metadata"]["labels"]

    def selects(service: Obj, labels: Obj) -> bool:
        return set(service["spec"]["selector"].items()) <= set(labels.items())

    of_a, of_b = (rendering.zone_service(resource, planned, zone) for zone in planned.zones)
    everything = rendering.service(resource, planned)
    assert [selects(service, leader) for service in (of_a, of_b, everything)] == [False, True, True]
    assert [selects(service, worker) for service in (of_a, of_b, everything)] == [False, False, False]


def test_a_route_always_has_every_zone_also_at_weight_zero() -> None:
    resource = cluster(zones=[{"name": "a", "weight": 5}, {"name": "b", "weight": 0}], gateway=GATEWAY)
    planned = plan(resource)
    (rule,) = rendering.http_route(resource, planned, weighed(planned))["spec"]["rules"]
    assert [(ref["name"], ref["weight"]) for ref in rule["backendRefs"]] == [("llama-a-http", 5), ("llama-b-http", 0)]
    assert rule["timeouts"] == {"request": "0s"}


def test_moving_traffic_changes_nothing_but_weights() -> None:
    resource = cluster(zones=zones("a", "b"), gateway=GATEWAY)
    planned = plan(resource)
    both = rendering.http_route(resource, planned, weighed(planned))
    one = rendering.http_route(resource, planned, weights(planned, {"b": ZoneFacts(ready=1)}))
    assert one["spec"]["rules"][0]["backendRefs"][0]["weight"] == 0
    one["spec"]["rules"][0]["backendRefs"][0]["weight"] = 100
    assert one["spec"] == both["spec"]


def test_without_a_gateway_there_is_no_route() -> None:
    resource = cluster()
    with pytest.raises(ValueError, match=r"genai/llama has no spec\.gateway"):
        rendering.http_route(resource, plan(resource), weighed(plan(resource)))


# What every object carries


def children(**spec: Any) -> list[Obj]:
    resource = cluster(zones=zones("a"), gateway=GATEWAY, **spec)
    planned = plan(resource)
    body = rendering.render_template(resource, planned, SETTINGS)
    return [
        rendering.service_account(resource, planned),
        rendering.controller_revision(resource, name="llama-1", number=1, template=body),
        rendering.leader_worker_set(resource, planned, planned.zones[0], revision_name="llama-1", template=body),
        rendering.zone_service(resource, planned, planned.zones[0]),
        rendering.service(resource, planned),
        rendering.http_route(resource, planned, weighed(planned)),
    ]


@pytest.mark.parametrize("child", children(), ids=lambda child: f"{child['kind']}-{child['metadata']['name']}")
def test_every_child_is_owned_labelled_and_stamped(child: Obj) -> None:
    metadata = child["metadata"]
    assert metadata["namespace"] == "genai"
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "trireme"
    assert metadata["labels"]["trireme.dev/cluster"] == "llama"
    (owner,) = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("0b7c", True, True)
    assert len(metadata["annotations"][ANNOTATION_HASH]) == 16


def test_the_hash_follows_what_is_rendered() -> None:
    def hashes(**spec: Any) -> dict[str, str]:
        return {
            child["metadata"]["name"]: child["metadata"]["annotations"][ANNOTATION_HASH] for child in children(**spec)
        }

    before, after = hashes(), hashes(service={"type": "NodePort"})
    assert {name for name in before if before[name] != after[name]} == {"llama-http", "llama-engine"}
    assert hashes() == before


def test_no_value_is_rendered_that_go_would_drop() -> None:
    """Controllers that write an object back drop empty values: rendered, they would be a difference for ever."""

    def empty(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            return [found for key, item in value.items() for found in empty(item, f"{path}.{key}")]
        if isinstance(value, list):
            return [found for item in value for found in empty(item, f"{path}[]")] if value else [path]
        return [path] if value in ("", None) else []

    overlay = {"spec": {"containers": [{"name": "engine", "env": [{"name": "A", "value": ""}], "envFrom": []}]}}
    written_back = [child for child in children(podTemplate=overlay) if child["kind"] != "ControllerRevision"]
    assert [path for child in written_back for path in empty(child, child["kind"])] == []


def test_a_zone_that_is_not_autoscaled_has_no_autoscaler() -> None:
    resource = cluster(zones=zones("a"))
    with pytest.raises(ValueError, match="zone a of llama is not autoscaled"):
        rendering.autoscaler(resource, plan(resource), plan(resource).zones[0])
    with pytest.raises(ValueError, match="zone a of llama is not autoscaled"):
        scaled_object(resource, plan(resource), plan(resource).zones[0])
