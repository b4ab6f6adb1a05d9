"""The model's config.json in a ConfigMap: when it is read, and what ``Accepted`` says because of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.controller_samples import NAMESPACE
from tests.unit.fake_kube import error
from tests.unit.models import SMOLLM2
from tests.unit.reconcile_world import World
from trireme_operator.controller.reconcile import RESYNC_SECONDS, UNSETTLED_SECONDS
from trireme_operator.kube import CONFIG_MAP, LEADER_WORKER_SET, Forbidden, Kind, NotFound

SOURCE = "hf://HuggingFaceTB/SmolLM2-135M-Instruct"
GPU = {"resource": "nvidia.com/gpu"}


def world(data: dict[str, str] | None = None, *, key: str | None = None, **spec: Any) -> World:
    """A resource without a gateway that names the ConfigMap `smollm2`, which is there when it has data."""
    reference = {"configMap": "smollm2"} | ({"key": key} if key else {})
    made = World(**({"model": {"source": SOURCE, "config": reference}, "gateway": None} | spec))
    if data is not None:
        made.kube.add(CONFIG_MAP, {"metadata": {"name": "smollm2", "namespace": NAMESPACE}, "data": data})
    return made


def config(**fields: Any) -> dict[str, str]:
    return {"config.json": json.dumps(SMOLLM2 | fields)}


async def test_a_model_that_fits_is_accepted_without_a_word() -> None:
    made = world(config())
    await made.reconcile()
    assert (made.condition("Accepted")["reason"], made.condition("Accepted")["message"]) == ("Valid", "")


async def test_a_model_that_can_not_be_cut_is_refused_by_its_field_and_nothing_is_made() -> None:
    made = world(config(), parallelism={"tensor": 2, "pipeline": 1}, accelerator=GPU)
    assert await made.reconcile() == UNSETTLED_SECONDS, "the ConfigMap may be mended, and is not watched"
    accepted = made.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert "spec.parallelism.tensor: 2 can not cut this model: 9 attention heads / 2 leaves 1" in accepted["message"]
    assert not made.kube.names(LEADER_WORKER_SET)


async def test_a_change_that_can_not_be_cut_leaves_what_runs_and_is_looked_at_soon() -> None:
    made = world(config(), parallelism={"tensor": 3, "pipeline": 1}, accelerator=GPU)
    await made.reconcile()
    before = made.kube.one(LEADER_WORKER_SET, "llm-zone-a")["spec"]
    made.spec["parallelism"]["tensor"] = 2
    made.observe_groups()
    assert await made.reconcile() == UNSETTLED_SECONDS
    assert made.condition("Accepted")["reason"] == "InvalidSpec"
    assert made.kube.one(LEADER_WORKER_SET, "llm-zone-a")["spec"] == before


async def test_weights_larger_than_a_device_are_refused() -> None:
    made = world(config(), parallelism={"tensor": 1}, accelerator=GPU | {"memory": "128Mi"})
    await made.reconcile()
    assert made.condition("Accepted")["reason"] == "InvalidSpec"
    assert "the weights of each rank" in made.condition("Accepted")["message"]


async def test_too_little_room_is_a_warning_of_an_accepted_resource() -> None:
    made = world(config(), parallelism={"tensor": 1}, accelerator=GPU | {"memory": "1Gi"})
    await made.reconcile()
    accepted = made.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "Valid")
    assert "by an estimate the engine will not start" in accepted["message"]
    assert made.kube.names(LEADER_WORKER_SET)
    assert await made.writes() == []


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        (None, None, "ConfigMap smollm2 of spec.model.config: it does not exist: create it"),
        ({"x": "", "y": ""}, None, "it has no key config.json (its keys: x, y): set spec.model.config.key"),
        ({"config.json": "no"}, None, "no JSON"),
        (config(hidden_size=-1), None, "hidden_size is -1"),
        (config(), "other.json", "it has no key other.json (its keys: config.json)"),
    ],
)
async def test_a_config_that_can_not_be_read_stops_no_group_and_is_said(
    data: dict[str, str] | None, key: str | None, words: str
) -> None:
    made = world(data, key=key)
    assert await made.reconcile() == UNSETTLED_SECONDS
    accepted = made.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ModelConfigUnreadable")
    assert words in accepted["message"]
    assert len(made.kube.names(LEADER_WORKER_SET)) == 2
    assert await made.writes() == []
    made.kube.objects.pop((CONFIG_MAP, NAMESPACE, "smollm2"), None)
    made.kube.add(CONFIG_MAP, {"metadata": {"name": "smollm2", "namespace": NAMESPACE}, "data": config()})
    made.spec["model"]["config"] = {"configMap": "smollm2"}
    made.observe_groups()
    assert await made.reconcile() == RESYNC_SECONDS
    assert made.condition("Accepted")["status"] == "True"


async def test_a_missing_right_is_said_and_an_api_server_that_fails_is_asked_again() -> None:
    made = world(config())
    made.kube.fail = lambda verb, kind, name: Forbidden("no right", status=403) if kind == CONFIG_MAP else None
    await made.reconcile()
    assert "no right" in made.condition("Accepted")["message"]
    made.kube.fail = lambda verb, kind, name: error() if kind == CONFIG_MAP else None
    with pytest.raises(Exception, match="boom"):
        await made.reconcile()


async def test_a_config_map_is_read_only_when_it_is_named() -> None:
    read: list[str] = []

    def note(verb: str, kind: Kind, name: str) -> NotFound | None:
        if kind == CONFIG_MAP:
            read.append(f"{verb} {name}")
        return None

    named, unnamed = world(config()), World(gateway=None)
    for made in (named, unnamed):
        made.kube.fail = note
        await made.reconcile()
    assert read == ["get smollm2"]


async def test_a_well_known_model_is_judged_by_its_name() -> None:
    made = World(model={"source": "hf://meta-llama/Llama-3.1-8B"}, parallelism={"tensor": 3, "pipeline": 1})
    assert await made.reconcile() == RESYNC_SECONDS
    assert "32 attention heads / 3 leaves 2" in made.condition("Accepted")["message"]
