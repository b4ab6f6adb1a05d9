"""Rights on a real API server with RBAC: none is granted in vain, and each that is missing is told."""

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from e2e.cluster.controlplane import ControlPlane
from scripts import chart
from tests.integration.server import (
    CLUSTER_ROLE,
    OPERATOR_USER,
    ROOT,
    Hands,
    Operator,
    condition,
    connected,
    envoy_gateway_crds,
    gateway_crds,
    inference_extension_crds,
    keda_crds,
    lws_crds,
    monitoring_crds,
    our_crds,
    running_operator,
    until,
)
from tests.unit.controller_samples import resource
from trireme_operator.controller.nodes import CORDON
from trireme_operator.controller.rights import NEEDED, OF_NODES, Right, Rights
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import (
    BACKEND_TRAFFIC_POLICY,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    INFERENCE_POOL,
    LEADER_WORKER_SET,
    POD_MONITOR,
    SCALED_OBJECT,
    Fence,
    Kind,
    KubernetesApi,
    NotFound,
    Obj,
    connect,
)

NODES_USER = "trireme-operator-with-nodes"
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "Panic"],
    "rules": [{"level": "Metadata", "users": [OPERATOR_USER, NODES_USER]}],
}
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
BY_KEDA = "keda"
"""How resources are called whose autoscalers KEDA makes."""
ELSEWHERE = {Right("patch", "", "pods")}
"""Used where launchers are heard, and one of them falls silent: unit tests of the rotation."""
KEPT_REVISIONS = 8
"""More than an operator keeps."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("rights")
    policy = folder / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))

    async def install(plane: ControlPlane) -> None:
        async with connected(plane.kubeconfig) as hands:
            await hands.install([*our_crds(), *lws_crds(), *gateway_crds()])
            await hands.install([*envoy_gateway_crds(), *monitoring_crds(), *keda_crds(), *inference_extension_crds()])
            await hands.served(INFERENCE_CLUSTER, LEADER_WORKER_SET, BACKEND_TRAFFIC_POLICY, HTTP_ROUTE, POD_MONITOR)
            await hands.served(INFERENCE_POOL)
            await hands.allow_operator()
            await hands.namespace("rights")
            config = {"data": {"config.json": json.dumps(CONFIG)}}
            await hands.create(CONFIG_MAP, {"metadata": {"name": "dimensions", "namespace": "rights"}} | config)

    with ControlPlane(folder, audit_policy=policy) as plane:
        asyncio.run(install(plane))
        yield plane


@pytest.fixture
async def hands(plane: ControlPlane) -> AsyncIterator[Hands]:
    async with connected(plane.kubeconfig) as connection:
        yield connection


@pytest.fixture(scope="module")
def user(plane: ControlPlane) -> Path:
    return plane.client("operator", common_name=OPERATOR_USER)


@pytest.fixture(scope="module")
def operator(user: Path, plane: ControlPlane) -> Iterator[Operator]:
    with running_operator(user, plane.directory / "operator.log") as process:
        asyncio.run(process.ready())
        yield process


def manifest(name: str) -> Obj:
    """It uses everything that takes a right of its own."""
    obj = resource(
        model={"source": "hf://HuggingFaceTB/SmolLM2-135M-Instruct", "config": {"configMap": "dimensions"}},
        networkPolicy={"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}}]},
        resources={"requests": {"cpu": "1"}},
        autoscaling={
            "maxReplicas": 4,
            "metrics": {"cpu": 70},
            "source": "KEDA" if name.startswith(BY_KEDA) else "Auto",
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
    never = HORIZONTAL_POD_AUTOSCALER if name.startswith(BY_KEDA) else SCALED_OBJECT
    wanted = [kind for kind in CHILD_KINDS if kind != never]
    kinds = [len(await hands.api.list(kind, "rights", labels=f"trireme.dev/cluster={name}")) for kind in wanted]
    return all(kinds) and await accepted(hands, name)


def expand(rules: list[Obj]) -> set[Right]:
    return {
        Right(verb, group, name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for name in rule["resources"]
    }


def used(audit_log: Path, user: str = OPERATOR_USER) -> set[Right]:
    """What the operator's user was allowed. An apply that creates takes the right to create, too."""
    found = set()
    for line in audit_log.read_text().splitlines():
        event = json.loads(line)
        reference = event.get("objectRef") or {}
        code = (event.get("responseStatus") or {}).get("code", 0)
        if not reference.get("resource") or code == 403 or event["user"]["username"] != user:
            continue
        name = "/".join(part for part in (reference["resource"], reference.get("subresource")) if part)
        verbs = {event["verb"]} | ({"create"} if event["verb"] == "patch" and code == 201 else set())
        found |= {Right(verb, reference.get("apiGroup", ""), name) for verb in verbs}
    return found


async def test_every_right_that_is_granted_is_used(plane: ControlPlane, hands: Hands, operator: Operator) -> None:
    """Create, find children without labels, prune stale ones, refuse; the audit log is compared with the role."""
    await hands.create(INFERENCE_CLUSTER, manifest("used"))
    await hands.create(INFERENCE_CLUSTER, manifest(BY_KEDA))
    await until(lambda: complete(hands, "used"))
    await until(lambda: complete(hands, BY_KEDA))
    for kind in CHILD_KINDS:
        owner = BY_KEDA if kind == SCALED_OBJECT else "used"
        (sample, *_) = await hands.api.list(kind, "rights", labels=f"trireme.dev/cluster={owner}")
        await hands.merge(kind, "rights", sample["metadata"]["name"], {"metadata": {"labels": None}})
        await until(lambda kind=kind, sample=sample: labelled(hands, kind, sample))  # type: ignore[misc]
        for number in range(KEPT_REVISIONS if kind == CONTROLLER_REVISION else 1):
            await hands.create(kind, stale(sample, f"stale-{number}"))
    for kind in CHILD_KINDS:
        await until(lambda kind=kind: gone(hands, kind, "stale-0"))  # type: ignore[misc]
    await hands.merge(INFERENCE_CLUSTER, "rights", "used", {"spec": {"podTemplate": {"spec": {"hostNetwork": True}}}})

    async def refused() -> bool:
        return not await accepted(hands, "used")

    await until(refused)

    granted = expand(RULES) - ELSEWHERE

    async def enough() -> bool:
        return granted <= used(plane.audit_log)

    try:
        await until(enough)
    except AssertionError:
        unused = granted - used(plane.audit_log)
        pytest.fail(f"granted and never used: {sorted(map(str, unused))}")


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
    objects = [
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": role["rules"]},
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": metadata}
        | {"subjects": [subject], "roleRef": reference},
    ]
    plane.kubectl("apply", "--server-side", "--filename=-", text=yaml.safe_dump_all(objects))
    user = plane.client("with-nodes", common_name=NODES_USER)
    environment = {"TRIREME_NODE_MAINTENANCE": CORDON}
    with running_operator(user, tmp_path / "nodes.log", namespaces="quiet", environment=environment):

        async def enough() -> bool:
            return more <= used(plane.audit_log, NODES_USER)

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


@pytest.mark.parametrize("number", range(len(RULES)), ids=lambda n: "+".join(RULES[n]["resources"]))
async def test_without_a_rule_the_resource_says_what_is_missing_and_heals(
    hands: Hands, operator: Operator, number: int
) -> None:
    rule = RULES[number]
    name = f"{BY_KEDA if SCALED_OBJECT.plural in rule['resources'] else 'without'}-{number}"
    await hands.create(INFERENCE_CLUSTER, manifest(name))
    await until(lambda: complete(hands, name))
    said = len(operator.log.read_text())
    rights = expand([rule]) | {REPAIR}
    await set_rules(hands, _without(rights))
    try:
        await until(lambda: told(hands, operator, name, rights, said))
    finally:
        await set_rules(hands, ROLE["rules"])
    await until(lambda: accepted(hands, name))
    await hands.delete(INFERENCE_CLUSTER, "rights", name)


async def told(hands: Hands, operator: Operator, name: str, rights: set[Right], said: int) -> bool:
    """Each look comes with an edit of a child that asks for a repair."""
    sets = await hands.api.list(LEADER_WORKER_SET, "rights", labels=f"trireme.dev/cluster={name}")
    patch = {"spec": {"leaderWorkerTemplate": {"size": 3 + time.monotonic_ns() % 90}}}
    await hands.merge(LEADER_WORKER_SET, "rights", sets[0]["metadata"]["name"], patch)
    await asyncio.sleep(0.5)
    if any(right.resource in UNTOLD for right in rights):
        return all(str(right) in operator.log.read_text()[said:] for right in rights)
    found = await condition(hands, "rights", "Accepted", name)
    return found.get("reason") == "MissingPermission" and all(str(right) in found["message"] for right in rights)
