"""The command line: what is read, what is written, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.golden.cases import FOLDER
from tests.unit.resources import cluster, raw, zones
from trireme_operator.cli.documents import UnreadableError, read
from trireme_operator.cli.main import app
from trireme_operator.planning import geometry, pod_ranks
from trireme_operator.rendering import Settings
from trireme_runtime import ranks as runtime_ranks

RUN = CliRunner()
IMAGE = ["--launcher-image", "registry.example.com/runtime:1"]


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(*documents: Any, name: str = "llm.yaml") -> str:
        path = tmp_path / name
        path.write_text(yaml.safe_dump_all(documents))
        return str(path)

    return write


def test_valid_resources_end_with_0(file: Any) -> None:
    done = RUN.invoke(app, ["validate", file(raw("one"), raw("two"))])
    assert done.exit_code == 0
    assert "one: valid" in done.stdout
    assert "two: valid" in done.stdout


def test_a_refused_resource_ends_with_1_and_says_field_value_rule_and_way_out(file: Any) -> None:
    done = RUN.invoke(app, ["validate", file(raw("one"), raw("two", replicas=-1))])
    assert done.exit_code == 1
    assert "one: valid" in done.stdout
    for word in ("two: refused", "spec.replicas", "minimum", "-1", "must be at least 0"):
        assert word in done.stdout


def test_verdicts_as_data(file: Any) -> None:
    done = RUN.invoke(app, ["validate", file(raw("two", engin={})), "-o", "json"])
    (verdict,) = json.loads(done.stdout)
    assert (verdict["name"], verdict["valid"], verdict["complete"]) == ("two", False, False)
    assert verdict["findings"][0]["path"] == "spec.engin"
    assert "did you mean engine?" in verdict["findings"][0]["message"]
    as_yaml = RUN.invoke(app, ["validate", file(raw("two", engin={})), "-o", "yaml"])
    assert list(yaml.safe_load_all(as_yaml.stdout)) == [verdict]


def test_other_kinds_are_skipped_with_a_note_and_a_list_is_its_items(file: Any) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": [raw("one"), {"apiVersion": "v1", "kind": "ConfigMap"}]}
    done = RUN.invoke(app, ["validate", file(items)])
    assert done.exit_code == 0
    assert "(ConfigMap) is no InferenceCluster" in done.stderr
    assert "one: valid" in done.stdout


def test_standard_input() -> None:
    done = RUN.invoke(app, ["validate", "-"], input=yaml.safe_dump(raw("one")))
    assert done.exit_code == 0
    assert "standard input: one: valid" in done.stdout


def test_old_makes_it_the_check_of_an_update(file: Any) -> None:
    old = file(raw("one", engine={"extraArgs": ["chunked"]}), name="old.yaml")
    new = file(raw("one", engine={"extraArgs": ["chunked"]}, replicas=2))
    assert RUN.invoke(app, ["validate", new]).exit_code == 1
    assert RUN.invoke(app, ["validate", new, "--old", old]).exit_code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "no YAML"),
        ("a: 1\na: 2\n", "key 'a' is there twice (line 2)"),
        ("- 1\n", "is no object"),
        ("kind: ConfigMap\n", "no InferenceCluster in"),
        ("", "no InferenceCluster in"),
        ("a: \x00", "no YAML"),
    ],
)
@pytest.mark.parametrize("command", [["validate"], ["plan"], ["render", *IMAGE]], ids=lambda words: words[0])
def test_what_can_not_be_read_ends_with_2(tmp_path: Path, command: list[str], text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    done = RUN.invoke(app, [*command, str(path)])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_missing_file_ends_with_2() -> None:
    done = RUN.invoke(app, ["validate", "/nowhere/x.yaml"])
    assert done.exit_code == 2
    assert "/nowhere/x.yaml" in done.stderr


@pytest.mark.parametrize("command", [["plan"], ["render", *IMAGE]], ids=lambda words: words[0])
def test_nothing_is_planned_or_rendered_from_an_invalid_resource(file: Any, command: list[str]) -> None:
    done = RUN.invoke(app, [*command, file(raw("one"), raw("two", replicas=-1))])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "spec.replicas: -1: must be at least 0" in done.stderr


def test_scalars_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "apiVersion: trireme.dev/v1alpha1\nkind: InferenceCluster\n"
        "spec: {date: 2026-01-02, time: 12:30, big: 1e3, hex: 0x10, yes: yes, null: ~, float: 1.5, text: 1.2.3}\n"
    )
    (document,) = read([str(path)]).documents
    spec = {str(key): value for key, value in document.body["spec"].items()}
    assert spec.pop("None") is None
    assert spec.pop("True") is True
    assert spec == {"date": "2026-01-02", "time": "12:30", "big": 1000, "hex": 16, "float": 1.5, "text": "1.2.3"}


def test_a_merge_key_is_merged_and_no_double(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("kind: InferenceCluster\napiVersion: trireme.dev/v1alpha1\nx: &a {b: 1}\ny: {<<: *a, c: 2}\n")
    (document,) = read([str(path)]).documents
    assert document.body["y"] == {"b": 1, "c": 2}


def test_read_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="nowhere"):
        read([str(tmp_path / "nowhere")])


def test_plan_counts_pods_ranks_devices_and_shares(file: Any) -> None:
    spec = {
        "parallelism": {"tensor": 2, "pipeline": 2},
        "accelerator": {"perPod": 1},
        "zones": [{"name": "a", "replicas": 2, "weight": 2}, {"name": "b", "weight": 1}, {"name": "c", "replicas": 0}],
    }
    done = RUN.invoke(app, ["plan", file(raw("llm", **spec)), "-o", "json"])
    (plan,) = json.loads(done.stdout)
    assert plan["group"] == {
        "pods": 4,
        "ranksPerPod": 1,
        "tensor": 2,
        "pipeline": 2,
        "data": 1,
        "expert": False,
        "loadBalancing": None,
        "worldSize": 4,
    }
    assert [pod["ranks"][0] for pod in plan["pods"]] == [
        {"rank": 0, "data": 0, "pipeline": 0, "tensor": 0},
        {"rank": 1, "data": 0, "pipeline": 0, "tensor": 1},
        {"rank": 2, "data": 0, "pipeline": 1, "tensor": 0},
        {"rank": 3, "data": 0, "pipeline": 1, "tensor": 1},
    ]
    assert [pod["role"] for pod in plan["pods"]] == ["leader", "worker", "worker", "worker"]
    assert plan["accelerator"] == {"resource": "nvidia.com/gpu", "perGroup": 4, "total": 12, "most": 12}
    assert [(zone["weight"], zone["sharePermille"]) for zone in plan["zones"]] == [(2, 666), (1, 333), (0, 0)]
    assert plan["objects"]["LeaderWorkerSet"] == ["llm-a", "llm-b", "llm-c"]


def test_plan_shows_between_which_numbers_an_autoscaler_moves(file: Any) -> None:
    document = raw(
        "llm",
        zones=[{"name": "a", "replicas": 2}, {"name": "b", "maxReplicas": 8}, {"name": "c", "state": "Disabled"}],
        autoscaling={"maxReplicas": 4, "metrics": {"cpu": 70}},
        resources={"requests": {"cpu": "1"}},
    )
    (plan,) = json.loads(RUN.invoke(app, ["plan", file(document), "-o", "json"]).stdout)
    assert [[zone[key] for key in ("groups", "groupsFrom", "groupsTo", "weight")] for zone in plan["zones"]] == [
        [2, 1, 4, 100],
        [1, 1, 8, 100],
        [0, 0, 0, 0],
    ]
    assert (plan["accelerator"]["total"], plan["accelerator"]["most"]) == (3, 12)
    assert plan["objects"]["LeaderWorkerSet"] == plan["objects"]["HorizontalPodAutoscaler"] == ["llm-a", "llm-b"]
    shown = RUN.invoke(app, ["plan", file(document)]).stdout
    for word in ("2 (1 to 4)", "1 (1 to 8)", "that the autoscalers may ask for: 12", "HorizontalPodAutoscaler"):
        assert word in shown


def test_plan_shows_what_the_groups_follow_and_the_reserve_for_the_loss_of_a_zone(file: Any) -> None:
    document = raw(
        "llm",
        zones=[{"name": "a", "weight": 2, "replicas": 2}, {"name": "b", "weight": 1}],
        autoscaling={
            "maxReplicas": 4,
            "metrics": {"queueLength": 9, "cpu": 60},
            "customMetrics": [{"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"averageValue": "1"}}}],
            "surviveZoneLoss": True,
        },
        resources={"requests": {"cpu": "1"}},
    )
    (plan,) = json.loads(RUN.invoke(app, ["plan", file(document), "-o", "json"]).stdout)
    assert plan["autoscaling"] == {
        "source": "Auto",
        "targets": {"queueLength": "3", "cpu": 20, "memory": None},
        "customMetrics": ["Pods"],
        "zoneLoss": {"zone": "a", "sharePermille": 666, "left": 1, "needed": 1},
    }
    shown = " ".join(RUN.invoke(app, ["plan", file(document)]).stdout.split())
    assert "groups follow: queue length 3, cpu 20 %, a metric of type Pods (source Auto)" in shown
    assert "if zone a is lost, with 66.6 % of the traffic: 1 groups are left at the start, 1 are needed" in shown


def test_plan_names_pools_and_their_pickers(file: Any) -> None:
    picked = {"parentRefs": [{"name": "edge"}], "endpointPicker": {}}
    document = raw("llm", zones=[{"name": "a"}, {"name": "b", "endpointPickerName": "mine"}], gateway=picked)
    (plan,) = json.loads(RUN.invoke(app, ["plan", file(document), "-o", "json"]).stdout)
    assert plan["objects"]["InferencePool"] == ["llm-a", "llm-b"]
    pickers = [(each["inferencePool"], each["service"], each["port"]) for each in plan["endpointPickers"]]
    assert pickers == [("llm-a", "llm-a-epp", 9002), ("llm-b", "mine", 9002)]
    assert "endpoint picker of InferencePool llm-b: mine." in RUN.invoke(app, ["plan", file(document)]).stdout


def test_plan_names_the_objects_of_keda(file: Any) -> None:
    scaling = {"maxReplicas": 4, "source": "KEDA", "keda": {"serverAddress": "http://prometheus:9090"}}
    document = raw("llm", zones=zones("a"), autoscaling=scaling)
    (plan,) = json.loads(RUN.invoke(app, ["plan", file(document), "-o", "json"]).stdout)
    assert plan["objects"]["ScaledObject"] == ["llm-a"]
    assert "HorizontalPodAutoscaler" not in plan["objects"]
    assert plan["autoscaling"]["targets"] == {"queueLength": "10", "cpu": None, "memory": None}
    assert plan["autoscaling"]["zoneLoss"] is None


def test_plan_as_a_table(file: Any) -> None:
    document = raw("llm", parallelism={"pipeline": 2}, accelerator={"resource": "cpu"}, zones=zones("a", "b"))
    done = RUN.invoke(app, ["plan", file(document), "-n", "team"])
    assert done.exit_code == 0
    for word in ("team/llm", "2 ranks (tensor 1 x pipeline 2) in 2 pods of 1", "none, ranks run", "1 (1, 0)", "50.0 %"):
        assert word in done.stdout


def test_plan_says_where_each_setting_comes_from(file: Any) -> None:
    spec = {
        "model": {"source": "pvc://models/llama"},
        "engine": {
            "profile": "production",
            "config": {"maxNumSeqs": 512, "enforceEager": True},
            "extraArgs": ["--async-scheduling"],
        },
    }
    done = RUN.invoke(app, ["plan", file(raw("llm", **spec)), "-o", "json"])
    (plan,) = json.loads(done.stdout)
    engine = plan["engine"]
    assert engine["model"] == {"source": "pvc://models/llama", "arguments": ["/mnt/model/llama"]}
    assert engine["profile"] == "production"
    assert engine["extraArgs"] == ["--async-scheduling"]
    assert [(each["name"], each["value"], each["from"]) for each in engine["settings"]] == [
        ("gpuMemoryPercent", 90, "profile production"),
        ("maxNumSeqs", 512, "spec.engine.config"),
        ("enablePrefixCaching", True, "profile production"),
        ("enforceEager", True, "spec.engine.config"),
    ]
    assert engine["settings"][0]["arguments"] == ["--gpu-memory-utilization", "0.90"]
    shown = RUN.invoke(app, ["plan", file(raw("llm", **spec))]).stdout
    for word in ("engine settings, profile production", "--gpu-memory-utilization 0.90", "/mnt/model/llama", "--async"):
        assert word in shown


def test_plan_says_which_pods_serve(file: Any) -> None:
    shape = {"tensor": 2, "data": 4, "expert": True, "loadBalancing": "Hybrid"}
    document = raw("llm", model={"source": "hf://org/experts"}, parallelism=shape, accelerator={"perPod": 4})
    (plan,) = json.loads(RUN.invoke(app, ["plan", file(document), "-o", "json"]).stdout)
    assert [pod["servesHTTP"] for pod in plan["pods"]] == [True, True]
    table = RUN.invoke(app, ["plan", file(document)]).stdout
    for word in ("8 ranks (tensor 2 x pipeline 1 x data 4), Hybrid load balancing, expert parallel", "7 (3, 0, 1)"):
        assert word in table


@pytest.mark.parametrize(
    "spec",
    [
        {"parallelism": {"tensor": 8, "pipeline": 2}},
        {"parallelism": {"tensor": 4, "pipeline": 2}, "accelerator": {"perPod": 2}},
        {"parallelism": {"tensor": 2, "pipeline": 4}, "accelerator": {"perPod": 4}},
        {"parallelism": {"tensor": 2, "pipeline": 2, "data": 2}, "accelerator": {"perPod": 1}},
        {"parallelism": {"tensor": 2, "pipeline": 2, "data": 4}, "accelerator": {"perPod": 8}},
    ],
    ids=str,
)
def test_the_plan_and_the_launcher_number_ranks_alike(spec: dict[str, Any]) -> None:
    shape = geometry(cluster(**spec))
    for pod in pod_ranks(shape):
        theirs = runtime_ranks.of_pod(
            node_rank=pod.node_rank,
            ranks_per_pod=shape.ranks_per_pod,
            tensor_parallel_size=shape.tensor,
            pipeline_parallel_size=shape.pipeline,
        )
        assert [(rank.number, rank.data, rank.pipeline, rank.tensor) for rank in pod.ranks] == [
            (rank.global_rank, rank.data, rank.pipeline, rank.tensor) for rank in theirs
        ]


@pytest.mark.parametrize("case", ["smallest", "overlay", "pool-of-groups"])
def test_render_prints_what_the_golden_files_hold(case: str) -> None:
    done = RUN.invoke(
        app, ["render", str(FOLDER / case / "input.yaml"), "--launcher-image", "ghcr.io/trireme/runtime:0.1.0"]
    )
    assert done.exit_code == 0
    assert done.stdout == (FOLDER / case / "expected.yaml").read_text()


def test_render_with_the_settings_of_an_installation(file: Any) -> None:
    done = RUN.invoke(app, ["render", file(raw("llm")), *IMAGE, "--launcher-pull-policy", "Never", "-o", "json"])
    text = done.stdout
    assert Settings("registry.example.com/runtime:1").launcher_image in text
    assert '"imagePullPolicy": "Never"' in text
    assert json.loads(text)[0]["kind"] == "ServiceAccount"
    table = RUN.invoke(app, ["render", file(raw("llm")), *IMAGE, "-o", "table"])
    assert "LeaderWorkerSet" in table.stdout
