"""History, difference and rollback on a real API server, and what a lost revision or a refused spec may not cost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from e2e.cluster.controlplane import ControlPlane
from tests.integration.server import LAUNCHER_IMAGE, Hands
from tests.integration.test_apply import Bench
from tests.unit.controller_samples import resource
from trireme_operator.api.labels import ANNOTATION_RENDERING
from trireme_operator.cli.main import app
from trireme_operator.kube import CONTROLLER_REVISION, INFERENCE_CLUSTER, LEADER_WORKER_SET, SERVICE, Obj
from trireme_operator.rendering import Settings

NEXT = "vllm/vllm-openai:next"
NEWER = "trireme.dev/runtime:newer"
REFUSED = {"podTemplate": {"spec": {"hostNetwork": True}}}
OVERLAY = {"spec": {"containers": [{"name": "engine", "ports": [{"containerPort": 9000}]}]}}
"""A port without its protocol: the API server fills it in, so that what runs is not what was rendered."""


class World(Bench):
    """A resource in a namespace of its own, an operator whose version a test chooses, and the command line."""

    def __init__(self, hands: Hands, namespace: str, kubeconfig: Path) -> None:
        super().__init__(hands, namespace)
        self._kubeconfig = kubeconfig

    def upgrade(self) -> None:
        """From now on the operator renders another launcher."""
        self.settings = Settings(launcher_image=NEWER)

    async def trireme(self, *words: str, answer: str = "") -> Result:
        """Run the command line, in a thread because it has an event loop of its own."""
        where = ["--namespace", self.namespace, "--kubeconfig", str(self._kubeconfig)]
        return await asyncio.to_thread(CliRunner().invoke, app, [*words, *where], input=answer)

    async def history(self) -> list[dict[str, Any]]:
        done = await self.trireme("history", "llm", "-o", "json")
        assert done.exit_code == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    async def edit(self, **spec: Any) -> None:
        await self.hands.merge(INFERENCE_CLUSTER, self.namespace, "llm", {"spec": spec})

    async def live(self) -> Obj:
        return await self.api.get(INFERENCE_CLUSTER, self.namespace, "llm")

    async def zone(self, name: str = "llm-zone-a") -> Obj:
        return await self.api.get(LEADER_WORKER_SET, self.namespace, name)

    async def images(self) -> tuple[str, str]:
        """The launcher's and the engine's image in zone a."""
        spec = (await self.zone())["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]
        return spec["initContainers"][0]["image"], spec["containers"][0]["image"]


@pytest_asyncio.fixture(loop_scope="session")
async def world(hands: Hands, namespace: str, plane: ControlPlane) -> World:
    obj = resource(engine={"image": "vllm/vllm-openai:first"}, podTemplate=OVERLAY)
    obj["metadata"] = {"name": "llm", "namespace": namespace}
    await hands.create(INFERENCE_CLUSTER, obj)
    world = World(hands, namespace, plane.kubeconfig)
    await world.reconcile()
    return world


async def test_history_tells_number_zones_and_what_changed(world: World) -> None:
    await world.edit(engine={"image": NEXT}, parallelism={"pipeline": 4})
    await world.reconcile()
    first, second = await world.history()
    assert (first["revision"], first["zones"], first["wanted"]) == (1, [], False)
    assert (second["revision"], second["zones"], second["wanted"]) == (2, ["zone-a", "zone-b"], True)
    assert {change["path"]: (change["before"], change["after"]) for change in second["changes"]} == {
        "engine.image": ("vllm/vllm-openai:first", NEXT),
        "parallelism.pipeline": (2, 4),
    }
    table = await world.trireme("history", "llm")
    for words in ("zone-a, zone-b", f'engine.image: "vllm/vllm-openai:first" -> "{NEXT}"', "the oldest that is kept"):
        assert words in table.stdout


async def test_diff_shows_inputs_and_template(world: World) -> None:
    await world.edit(engine={"image": NEXT})
    await world.reconcile()
    shown = await world.trireme("diff", "llm")
    assert shown.exit_code == 0
    for line in ("--- inputs of revision 1", "+  image: vllm/vllm-openai:next", "+++ template of revision 2"):
        assert line in shown.stdout
    assert shown.stdout.count(f"image: {NEXT}") == 3, "the input, the leader, the worker"
    (data,) = json.loads((await world.trireme("diff", "llm", "2", "1", "-o", "json")).stdout)
    assert data["inputs"] == [{"path": "engine.image", "before": NEXT, "after": "vllm/vllm-openai:first"}]
    assert (await world.trireme("diff", "llm", "1", "1")).stdout == ""
    missing = await world.trireme("diff", "llm", "7")
    assert (missing.exit_code, "the history holds 1, 2" in missing.stderr) == (1, True)


async def test_a_rollback_brings_the_stored_template_back_and_leaves_the_rest_of_the_spec(world: World) -> None:
    first = (await world.zone())["spec"]["leaderWorkerTemplate"]
    await world.edit(engine={"image": NEXT, "config": {"maxNumSeqs": 8}}, podTemplate=None)
    await world.reconcile()
    zones = (await world.live())["spec"]["zones"]
    await world.edit(zones=[{**zones[0], "weight": 7}, zones[1]])
    world.upgrade()
    await world.reconcile()

    before = await world.snapshot()
    tried = await world.trireme("rollback", "llm", "--dry-run=server")
    assert (tried.exit_code, "nothing was stored" in tried.stderr) == (0, True)
    assert "-  image: vllm/vllm-openai:next" in tried.stdout
    refused = await world.trireme("rollback", "llm", answer="n\n")
    assert (refused.exit_code, "nothing was changed" in refused.stderr) == (1, True)
    assert await world.snapshot() == before

    done = await world.trireme("rollback", "llm", answer="y\n")
    assert done.exit_code == 0, done.stderr
    await world.reconcile()
    assert (await world.zone())["spec"]["leaderWorkerTemplate"] == first
    spec = (await world.live())["spec"]
    assert (spec["zones"][0]["weight"], spec["podTemplate"]) == (7, OVERLAY)
    assert "maxNumSeqs" not in spec["engine"]["config"]
    writers = {entry["manager"] for entry in (await world.live())["metadata"]["managedFields"]}
    assert "trireme-cli" in writers
    history = await world.history()
    assert [(each["revision"], each["wanted"]) for each in history] == [(2, False), (3, True)]
    again = await world.trireme("rollback", "llm", "--to", "3", "--yes")
    assert (again.exit_code, "already" in again.stderr) == (0, True)


async def test_a_rollback_as_data(world: World) -> None:
    await world.edit(engine={"image": NEXT})
    await world.reconcile()
    done = await world.trireme("rollback", "llm", "--to", "1", "--yes", "-o", "json")
    (data,) = json.loads(done.stdout)
    assert (data["revision"], data["applied"]) == (1, True)
    assert [each["path"] for each in data["patch"]] == ["/spec/engine"]


async def test_a_rollback_ends_a_refusal(world: World) -> None:
    before = (await world.zone())["spec"]
    await world.edit(engine={"image": NEXT}, **REFUSED)
    await world.reconcile()
    told = await world.trireme("history", "llm")
    assert "The spec is refused, and the groups go on as before" in told.stderr
    done = await world.trireme("rollback", "llm", "--yes")
    assert done.exit_code == 0, done.stderr
    await world.reconcile()
    assert (await world.live())["status"]["conditions"][0]["status"] == "True"
    assert (await world.zone())["spec"] == before
    assert (await world.zone())["metadata"]["generation"] == 1
    assert "podTemplate" in (await world.live())["spec"], "the overlay of what runs"
    assert await world.reconcile() == 0


async def test_an_upgrade_of_the_rendering_is_a_choice_that_a_sync_keeps_and_a_rollback_takes_back(
    world: World,
) -> None:
    none = await world.trireme("upgrade-rendering", "llm", "--yes")
    assert (none.exit_code, "nothing to move to" in none.stderr) == (0, True)
    world.upgrade()
    await world.reconcile()
    assert (await world.images())[0] == LAUNCHER_IMAGE
    tried = await world.trireme("upgrade-rendering", "llm", "--dry-run=server")
    assert tried.exit_code == 0
    assert ANNOTATION_RENDERING not in ((await world.live())["metadata"].get("annotations") or {})
    done = await world.trireme("upgrade-rendering", "llm", answer="y\n")
    assert done.exit_code == 0, done.stderr

    synced: Obj = {"apiVersion": INFERENCE_CLUSTER.api_version, "kind": INFERENCE_CLUSTER.kind} | resource(
        engine={"image": "vllm/vllm-openai:first"}, podTemplate=OVERLAY
    )
    synced["metadata"] = {"name": "llm", "namespace": world.namespace}
    await world.api.apply(INFERENCE_CLUSTER, synced, manager="git-sync")
    await world.reconcile()
    assert (await world.images())[0] == NEWER
    first, second = await world.history()
    assert (first["zones"], second["zones"]) == ([], ["zone-a", "zone-b"])
    assert {change["path"].partition(".")[0] for change in second["changes"]} == {"template"}

    back = await world.trireme("rollback", "llm", "--to", "1", "--yes")
    assert back.exit_code == 0, back.stderr
    await world.reconcile()
    assert (await world.images())[0] == LAUNCHER_IMAGE


async def test_a_rendering_is_not_upgraded_before_the_operator_has_seen_the_spec(world: World) -> None:
    world.upgrade()
    await world.reconcile()
    await world.edit(engine={"image": NEXT})
    done = await world.trireme("upgrade-rendering", "llm", "--yes")
    assert (done.exit_code, "the status is of an earlier spec" in done.stderr) == (1, True)
    await world.edit(**REFUSED)
    await world.reconcile()
    done = await world.trireme("upgrade-rendering", "llm", "--yes")
    assert (done.exit_code, "the spec is refused" in done.stderr) == (1, True)


async def test_a_refusal_that_only_the_operator_can_tell_is_told_and_rolled_back(world: World) -> None:
    """The dimensions of a well-known model, which the rules of the spec don't hold."""
    before = (await world.live())["spec"]["model"]
    await world.edit(
        model={"source": "hf://meta-llama/Llama-3.1-8B-Instruct"},
        parallelism={"tensor": 3},
        accelerator={"perPod": 3},
    )
    await world.reconcile()
    told = await world.trireme("history", "llm")
    assert "The spec is refused, and the groups go on as before" in told.stderr
    assert (await world.trireme("upgrade-rendering", "llm", "--yes")).exit_code == 1
    done = await world.trireme("rollback", "llm", "--yes")
    assert done.exit_code == 0, done.stderr
    await world.reconcile()
    live = await world.live()
    assert live["status"]["conditions"][0]["status"] == "True"
    assert live["spec"]["model"] == before
    assert (await world.zone())["metadata"]["generation"] == 1


async def test_what_is_not_there_or_not_allowed_ends_with_3(world: World, plane: ControlPlane, tmp_path: Path) -> None:
    gone = await world.trireme("history", "nothing")
    assert (gone.exit_code, '"nothing" not found' in gone.stderr) == (3, True)
    stranger = World(world.hands, world.namespace, plane.client("stranger", common_name="stranger"))
    denied = await stranger.trireme("history", "llm")
    assert (denied.exit_code, "forbidden" in denied.stderr) == (3, True)
    nowhere = World(world.hands, world.namespace, tmp_path / "none")
    assert (await nowhere.trireme("history", "llm")).exit_code == 2
    other = await world.trireme("history", "llm", "--context", "moon")
    assert (other.exit_code, "moon" in other.stderr) == (2, True)


async def test_a_lost_revision_comes_back_from_what_runs_and_restarts_nothing(world: World) -> None:
    (stored,) = await world.api.list(CONTROLLER_REVISION, world.namespace)
    before = {name: (await world.zone(name))["metadata"]["generation"] for name in ("llm-zone-a", "llm-zone-b")}
    world.upgrade()
    await world.hands.delete(CONTROLLER_REVISION, world.namespace, stored["metadata"]["name"])
    await world.reconcile()
    (restored,) = await world.api.list(CONTROLLER_REVISION, world.namespace)
    assert restored["metadata"]["name"] == stored["metadata"]["name"]
    assert (await world.images())[0] == LAUNCHER_IMAGE
    after = {name: (await world.zone(name))["metadata"]["generation"] for name in before}
    assert after == before
    assert await world.reconcile() == 0


async def test_zones_are_recreated_and_repaired_while_the_spec_is_refused(world: World) -> None:
    before = (await world.zone())["spec"]
    await world.edit(**REFUSED)
    world.upgrade()
    await world.reconcile()
    await world.hands.delete(LEADER_WORKER_SET, world.namespace, "llm-zone-a")
    await world.hands.delete(SERVICE, world.namespace, "llm-zone-a-http")
    await world.hands.merge(LEADER_WORKER_SET, world.namespace, "llm-zone-b", {"spec": {"replicas": 9}})
    await world.reconcile()
    assert (await world.zone())["spec"] == before
    assert (await world.zone("llm-zone-b"))["spec"]["replicas"] == 2
    assert await world.reconcile() == 0


async def test_a_template_that_the_api_server_refuses_leaves_the_zones_their_own(world: World) -> None:
    before = (await world.zone())["spec"]
    await world.edit(podTemplate={"spec": {"affinity": {"moon": {"phase": "full"}}}})
    await world.hands.delete(LEADER_WORKER_SET, world.namespace, "llm-zone-a")
    with pytest.raises(ExceptionGroup):
        await world.reconcile()
    assert (await world.zone())["spec"] == before
    accepted = (await world.live())["status"]["conditions"][0]
    assert (accepted["reason"], "moon" in accepted["message"]) == ("ApplyFailed", True)
