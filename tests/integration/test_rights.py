"""Rights on a real API server with RBAC: none is granted in vain, and each that is missing is told."""

import asyncio
import copy
import functools
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from e2e.cluster.controlplane import ControlPlane
from scripts import chart
from tests.integration.audit import Trail, audited
from tests.integration.server import BINDING, CLUSTER_ROLE, ROOT, Hands, Operator, condition, running_operator, until
from tests.unit.controller_samples import resource
from trireme_operator.controller.nodes import CORDON
from trireme_operator.controller.rights import NEEDED, OBSERVED, OF_NODES, Right, Rights
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    SCALED_OBJECT,
    Fence,
    Kind,
    KubernetesApi,
    NotFound,
    Obj,
    connect,
)

USER = "operator-with-all-rights"
NODES_USER = "operator-with-nodes"
ROLE = yaml.safe_load((ROOT / "manifests/base/clusterrole.yaml").read_text())
CONFIG: Obj = {"num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 30, "vocab_size": 49152}
CONFIG |= {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "torch_dtype": "bfloat16",
}
RULES = [rule for rule in ROLE["rules"] if "resourceNames" not in rule]
"""Those by name are for the metrics server's registration, which no resource has a part in: test_metrics_api.py."""
RBAC = "rbac.authorization.k8s.io"
PLAIN = "plain"
BY_KEDA = "keda"
"""The resource whose autoscalers KEDA makes."""
ELSEWHERE = {Right("patch", "", "pods")}
"""Used where launchers are heard, and one of them falls silent: unit tests of the rotation."""
KEPT_REVISIONS = 8
"""More than an operator keeps."""


@pytest.fixture(scope="module")
def trail(plane: ControlPlane) -> Trail:
    return Trail(plane, USER)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def user(plane: ControlPlane, hands: Hands, trail: Trail) -> Path:
    await hands.allow_operator(USER)
    return audited(plane, USER)


@pytest.fixture(scope="module")
def operator(user: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with running_operator(user, tmp_path_factory.mktemp("rights") / "operator.log") as process:
        asyncio.run(process.ready())
        yield process


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def resources(hands: Hands, operator: Operator) -> AsyncIterator[None]:
    """Both resources, complete; each test leaves them as they were."""
    await hands.namespace("rights")
    config = {"data": {"config.json": json.dumps(CONFIG)}}
    await hands.create(CONFIG_MAP, {"metadata": {"name": "dimensions", "namespace": "rights"}} | config)
    for name in (PLAIN, BY_KEDA):
        await hands.create(INFERENCE_CLUSTER, manifest(name))
        await until(functools.partial(complete, hands, name))
    yield
    await hands.clear("rights")


def manifest(name: str) -> Obj:
    """It uses everything that takes a right of its own."""
    obj = resource(
        model={"source": "hf://HuggingFaceTB/SmolLM2-135M-Instruct", "config": {"configMap": "dimensions"}},
        networkPolicy={"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}}]},
        resources={"requests": {"cpu": "1"}},
        autoscaling={
            "maxReplicas": 4,
            "metrics": {"cpu": 70},
            "source": "KEDA" if name == BY_KEDA else "Auto",
        },
        gateway={
            "parentRefs": [{"name": "edge", "namespace": "infra"}],
            "policy": "Careful",
            "endpointPicker": {},
        },
    )
    obj["metadata"] = {"name": name, "namespace": "rights"}
    return obj


async def accepted(hands: Hands, name: str) -> bool:
    return (await condition(hands, "rights", "Accepted", name)).get("status") == "True"


async def complete(hands: Hands, name: str) -> bool:
    never = HORIZONTAL_POD_AUTOSCALER if name == BY_KEDA else SCALED_OBJECT
    if not await accepted(hands, name):
        return False
    wanted = [kind for kind in CHILD_KINDS if kind != never]
    kinds = [len(await hands.api.list(kind, "rights", labels=f"trireme.dev/cluster={name}")) for kind in wanted]
    return all(kinds)


def expand(rules: list[Obj]) -> set[Right]:
    return {
        Right(verb, group, name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for name in rule["resources"]
    }


def used(trail: Trail) -> set[Right]:
    """What the operator's user was allowed. An apply that creates takes the right to create, too."""
    found = set()
    for event in trail.events():
        reference = event.get("objectRef") or {}
        code = (event.get("responseStatus") or {}).get("code", 0)
        if not reference.get("resource") or code == 403:
            continue
        name = "/".join(part for part in (reference["resource"], reference.get("subresource")) if part)
        verbs = {event["verb"]} | ({"create"} if event["verb"] == "patch" and code == 201 else set())
        found |= {Right(verb, reference.get("apiGroup", ""), name) for verb in verbs}
    return found


async def test_every_right_that_is_granted_is_used(hands: Hands, resources: None, trail: Trail) -> None:
    """Create, find children without labels, prune stale ones, refuse; the audit log is compared with the role."""
    for kind in CHILD_KINDS:
        owner = BY_KEDA if kind == SCALED_OBJECT else PLAIN
        (sample, *_) = await hands.api.list(kind, "rights", labels=f"trireme.dev/cluster={owner}")
        await hands.merge(kind, "rights", sample["metadata"]["name"], {"metadata": {"labels": None}})
        await until(lambda kind=kind, sample=sample: labelled(hands, kind, sample))  # type: ignore[misc]
        for number in range(KEPT_REVISIONS if kind == CONTROLLER_REVISION else 1):
            await hands.create(kind, stale(sample, f"stale-{number}"))
    for kind in CHILD_KINDS:
        await until(lambda kind=kind: gone(hands, kind, "stale-0"))  # type: ignore[misc]
    await hands.merge(INFERENCE_CLUSTER, "rights", PLAIN, {"spec": {"podTemplate": {"spec": {"hostNetwork": True}}}})

    async def refused() -> bool:
        return not await accepted(hands, PLAIN)

    await until(refused)

    granted = expand(RULES) - ELSEWHERE

    async def enough() -> bool:
        return granted <= used(trail)

    try:
        await until(enough)
    except AssertionError:
        pytest.fail(f"granted and never used: {sorted(map(str, granted - used(trail)))}")
    await hands.merge(INFERENCE_CLUSTER, "rights", PLAIN, {"spec": {"podTemplate": None}})
    await until(lambda: complete(hands, PLAIN))


async def test_with_node_maintenance_two_more_are_granted_and_both_are_used(
    plane: ControlPlane, hands: Hands, tmp_path: Path
) -> None:
    """What the chart adds for it, measured on an operator that has nothing to do but to read nodes."""
    (role,) = [each for each in chart.template("--set", "nodeMaintenance.enabled=true") if is_role(each)]
    more = expand([rule for rule in role["rules"] if "resourceNames" not in rule]) - expand(RULES)
    assert more == set(OF_NODES)
    await hands.namespace("quiet")
    metadata, subject = {"name": NODES_USER}, {"apiGroup": RBAC, "kind": "User", "name": NODES_USER}
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": NODES_USER}
    granted = {"apiVersion": f"{RBAC}/v1", "metadata": metadata}
    await hands.apply(CLUSTER_ROLE, {**granted, "kind": "ClusterRole", "rules": role["rules"]})
    binding = {**granted, "kind": "ClusterRoleBinding", "subjects": [subject], "roleRef": reference}
    await hands.apply(BINDING, binding)
    user, trail = audited(plane, NODES_USER), Trail(plane, NODES_USER)
    environment = {"TRIREME_NODE_MAINTENANCE": CORDON}
    with running_operator(user, tmp_path / "nodes.log", namespaces="quiet", environment=environment):

        async def enough() -> bool:
            return more <= used(trail)

        await until(enough)


def is_role(obj: Obj) -> bool:
    return (obj["kind"], obj["metadata"]["name"]) == ("ClusterRole", "trireme")


async def labelled(hands: Hands, kind: Kind, sample: Obj) -> bool:
    live = await hands.api.get(kind, "rights", sample["metadata"]["name"])
    return bool((live["metadata"].get("labels") or {}).items() >= sample["metadata"]["labels"].items())


def stale(sample: Obj, name: str) -> Obj:
    """A child of ours that nobody asks for (any more)."""
    obj = copy.deepcopy(sample)
    kept = {key: obj["metadata"][key] for key in ("labels", "ownerReferences", "namespace")}
    obj["metadata"] = kept | {"name": name}
    obj.pop("status", None)
    for field in ("clusterIP", "clusterIPs"):
        obj.get("spec", {}).pop(field, None)
    if "revision" in obj:
        obj["revision"] = int(name.rpartition("-")[2])
    return obj


async def gone(hands: Hands, kind: Kind, name: str) -> bool:
    try:
        await hands.api.get(kind, "rights", name)
    except NotFound:
        return True
    return False


async def set_rules(hands: Hands, rules: list[Obj]) -> None:
    await hands._patch(
        f"{CLUSTER_ROLE.path()}/{ROLE['metadata']['name']}", {"rules": rules}, "application/merge-patch+json", {}
    )


@pytest.mark.timeout(400)
async def test_each_right_that_is_taken_away_is_found_missing(hands: Hands, user: Path) -> None:
    """One verb of one resource at a time, asked of the real authorizer."""
    fence = Fence()
    fence.open()
    api = KubernetesApi(await connect(user))
    rights = Rights(api, fence, asyncio.Event(), namespaces=(), changed=lambda: None)
    try:
        for right in NEEDED:
            await set_rules(hands, _without({right}))

            async def told(right: Right = right) -> bool:
                await rights.look()
                return rights.missing(manifest(BY_KEDA)).rights == (right,)

            await until(told)
    finally:
        await set_rules(hands, ROLE["rules"])
        await api.close()


def _without(rights: set[Right]) -> list[Obj]:
    """The role's rules, one for each right, without these."""
    kept = sorted(expand(RULES) - rights)
    return [{"apiGroups": [each.group], "resources": [each.resource], "verbs": [each.verb]} for each in kept]


REPAIR = Right("patch", LEADER_WORKER_SET.group, LEADER_WORKER_SET.plural)
"""Always taken away as well: the call that is then refused makes the operator look at once, not after a minute."""
UNTOLD = ("inferenceclusters", "inferenceclusters/status")
"""Without these the resource can't say anything; the operator's log does."""


def _together() -> list[list[Obj]]:
    """The rules that are taken away at once, because the resource tells of each one.

    Those that leave it nothing to say are taken away alone, and those whose objects can't be seen any more not with
    others.
    """
    alone = [[rule] for rule in RULES if {*rule["resources"]} & {*UNTOLD}]
    told = [rule for rule in RULES if [rule] not in alone]
    blinding = [rule for rule in told if {(right.group, right.resource) for right in expand([rule])} & OBSERVED]
    return [*alone, [rule for rule in told if rule not in blinding], *(blinding[start::4] for start in range(4))]


def _names(rules: list[Obj]) -> str:
    return "+".join(name for rule in rules for name in rule["resources"])


def test_each_rule_is_taken_away_once() -> None:
    taken = [rule for rules in _together() for rule in rules]
    assert sorted(map(str, taken)) == sorted(map(str, RULES))


@pytest.mark.parametrize("rules", _together(), ids=_names)
async def test_without_rules_the_resource_says_what_is_missing_and_heals(
    hands: Hands, operator: Operator, resources: None, rules: list[Obj]
) -> None:
    rights = expand(rules) | {REPAIR}
    name = BY_KEDA if SCALED_OBJECT.plural in {right.resource for right in rights} else PLAIN
    await until(lambda: accepted(hands, name))
    said = len(operator.log.read_text())
    await set_rules(hands, _without(rights))
    try:
        await until(lambda: told(hands, operator, name, rights, said))
    finally:
        await set_rules(hands, ROLE["rules"])
    await until(lambda: accepted(hands, name))
    await until(lambda: repaired(hands, name))


async def told(hands: Hands, operator: Operator, name: str, rights: set[Right], said: int) -> bool:
    """An edit of a child asks for a repair; again where the operator was faster than the change of its rights."""
    if await repaired(hands, name):
        patch = {"spec": {"leaderWorkerTemplate": {"size": 3 + time.monotonic_ns() % 90}}}
        await hands.merge(LEADER_WORKER_SET, "rights", f"{name}-zone-a", patch)
    if any(right.resource in UNTOLD for right in rights):
        return all(str(right) in operator.log.read_text()[said:] for right in rights)
    found = await condition(hands, "rights", "Accepted", name)
    return found.get("reason") == "MissingPermission" and all(str(right) in found["message"] for right in rights)


async def repaired(hands: Hands, name: str) -> bool:
    live = await hands.api.get(LEADER_WORKER_SET, "rights", f"{name}-zone-a")
    return bool(live["spec"]["leaderWorkerTemplate"]["size"] == 2)
