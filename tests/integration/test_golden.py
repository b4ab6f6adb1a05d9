"""The golden files and the samples on a real API server: taken as they are, and the second apply changes nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.golden.cases import CASES, rendered
from tests.integration.server import Hands
from trireme_operator.api.labels import FIELD_MANAGER, FIELD_MANAGER_REPLICAS
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import INFERENCE_CLUSTER, Obj

KINDS = {kind.kind: kind for kind in CHILD_KINDS}
SAMPLES = [yaml.safe_load(file.read_text()) for file in sorted((Path(__file__).parents[2] / "samples").glob("*.yaml"))]


async def apply(hands: Hands, namespace: str, obj: Obj) -> Obj:
    kind, metadata = KINDS[obj["kind"]], {**obj["metadata"], "namespace": namespace}
    metadata.pop("ownerReferences", None)  # the owners of the golden files are on no server
    manager = FIELD_MANAGER if metadata.get("labels") else FIELD_MANAGER_REPLICAS
    return await hands.api.apply(kind, {**obj, "metadata": metadata}, manager=manager)


def without_owner_and_namespace(obj: Obj) -> Obj:
    return {key: value for key, value in obj.items() if key != "metadata"}


def stands_in(live: Any, wanted: Any) -> bool:
    """Whether every value rendered is in the live object, lists in their order."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(key in live and stands_in(live[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(live) == len(wanted) and all(stands_in(*pair) for pair in zip(live, wanted, strict=True))
    return bool(live == wanted)


@pytest.mark.parametrize("case", CASES)
async def test_a_second_apply_changes_nothing(hands: Hands, namespace: str, case: str) -> None:
    objects = rendered(case)
    for obj in objects:
        await apply(hands, namespace, obj)
    first = {}
    for obj in objects:
        live = await hands.api.get(KINDS[obj["kind"]], namespace, obj["metadata"]["name"])
        assert stands_in(live, without_owner_and_namespace(obj)), obj["metadata"]["name"]
        first[obj["kind"], obj["metadata"]["name"]] = live["metadata"]["resourceVersion"]
    for obj in objects:
        live = await apply(hands, namespace, obj)
        assert live["metadata"]["resourceVersion"] == first[obj["kind"], obj["metadata"]["name"]]
    await hands.clear_children(namespace)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["metadata"]["name"])
async def test_a_sample_is_taken(hands: Hands, namespace: str, sample: Obj) -> None:
    document = copy.deepcopy(sample)
    document["metadata"]["namespace"] = namespace
    created = await hands.create(INFERENCE_CLUSTER, document)
    assert created["spec"]["resources"]["sharedMemory"]
