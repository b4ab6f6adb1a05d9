"""Sources, credentials, cache and settings of the engine: how they reach the pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.double import flags
from tests.rule_cases_model import GOOD
from tests.unit.resources import cluster, raw
from trireme_operator import rendering
from trireme_operator.api import InvalidResource, parse
from trireme_operator.api.engine import EngineConfig, Profile
from trireme_operator.api.model import OWNED_VARIABLE_PREFIXES, OWNED_VARIABLES
from trireme_operator.api.profiles import PROFILES
from trireme_operator.planning import Source, SourceKind, engine_settings, plan, source_of

Obj = dict[str, Any]
HUB = "hf://org/name"
ALL_SETTINGS = {
    "maxModelLen": 1,
    "gpuMemoryPercent": 1,
    "maxNumSeqs": 1,
    "maxNumBatchedTokens": 1,
    "dtype": "auto",
    "quantization": "fp8",
    "kvCacheDtype": "fp8",
    "enablePrefixCaching": False,
    "enforceEager": False,
    "trustRemoteCode": False,
}


def pod(**spec: Any) -> Obj:
    resource = cluster(**spec)
    template = rendering.render_template(resource, plan(resource), rendering.Settings("runtime:1"))
    leader = {key: value for key, value in template["leaderTemplate"]["spec"].items() if key != "affinity"}
    assert leader == template["workerTemplate"]["spec"], "but for where leaders go, all pods are the same"
    found: Obj = template["workerTemplate"]["spec"]
    return found


def engine(**spec: Any) -> Obj:
    (container,) = pod(**spec)["containers"]
    return dict(container)


def variables(**spec: Any) -> dict[str, Obj]:
    return {variable["name"]: variable for variable in engine(**spec)["env"]}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("hf://org/name", Source(SourceKind.HUB, "org/name")),
        ("hf://org/name@refs/pr/1", Source(SourceKind.HUB, "org/name", revision="refs/pr/1")),
        ("pvc://claim", Source(SourceKind.CLAIM, "claim")),
        ("pvc://claim/a/b/", Source(SourceKind.CLAIM, "claim", path="a/b")),
        ("s3://bucket/a", Source(SourceKind.S3, "s3://bucket/a")),
        ("gs://bucket/a", Source(SourceKind.GCS, "gs://bucket/a")),
        ("oci://host:5000/a:1", Source(SourceKind.IMAGE, "host:5000/a:1")),
        ("oci://a@sha256:0//b/c", Source(SourceKind.IMAGE, "a@sha256:0", path="b/c")),
        ("/models/m", Source(SourceKind.PATH, "/models/m")),
        ("ftp://a", Source(SourceKind.PATH, "ftp://a")),
    ],
)
def test_a_source_is_taken_apart(text: str, want: Source) -> None:
    assert source_of(text) == want


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("pvc://claim", ["/mnt/model"]),
        ("pvc://claim/a/b/", ["/mnt/model/a/b"]),
        ("oci://image:1", ["/mnt/model"]),
        ("oci://image:1//a", ["/mnt/model/a"]),
        ("s3://bucket/a", ["s3://bucket/a", "--load-format", "runai_streamer"]),
        ("gs://bucket/a", ["gs://bucket/a", "--load-format", "runai_streamer"]),
    ],
)
def test_the_engine_is_told_where_the_model_is(source: str, want: list[str]) -> None:
    words = engine(model={"source": source})["args"]
    assert words[: words.index("--served-model-name")] == ["vllm", "serve", *want]


def test_another_loader_of_the_user_comes_behind_ours_and_so_wins() -> None:
    words = engine(model={"source": "s3://bucket/a"}, engine={"extraArgs": ["--load-format", "x"]})["args"]
    assert words[-2:] == ["--load-format", "x"]


def test_a_claim_is_mounted_whole_and_read_only_twice() -> None:
    spec = pod(model={"source": "pvc://claim/a"})
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "trireme-model"]
    (mount,) = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "trireme-model"]
    assert volume["persistentVolumeClaim"] == {"claimName": "claim", "readOnly": True}
    assert mount == {"name": "trireme-model", "mountPath": "/mnt/model", "readOnly": True}


@pytest.mark.parametrize("spec", GOOD, ids=str)
def test_each_mount_has_its_volume_and_nothing_is_there_twice(spec: Obj) -> None:
    rendered = pod(**spec)
    (container,) = rendered["containers"]
    volumes = [volume["name"] for volume in rendered["volumes"]]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    names = [variable["name"] for variable in container["env"]]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert [len(found) for found in (volumes, mounts, names)] == [len(set(found)) for found in (volumes, mounts, names)]
    assert [len(volume) for volume in rendered["volumes"]] == [2] * len(volumes)  # a name and one kind


@pytest.mark.parametrize("spec", GOOD, ids=str)
def test_the_engines_own_parser_takes_the_command(spec: Obj) -> None:
    """The double's parser is vLLM's, as it describes itself; it ends the process on what it does not take."""
    words = engine(**spec)["args"]
    assert words[0] == "vllm"
    assert flags.parse(words[1:]).model == words[2]


def test_no_secret_is_in_a_template_by_value() -> None:
    credentials = [
        {"name": "TOKEN", "secret": "s", "key": "k"},
        {"name": "KEY_FILE", "secret": "t", "key": "l", "type": "File"},
    ]
    found = variables(model={"source": HUB, "credentials": credentials})
    assert found["TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert found["KEY_FILE"]["value"] == "/mnt/credentials/KEY_FILE"
    spec = pod(model={"source": HUB, "credentials": credentials})
    (volume,) = [volume["projected"] for volume in spec["volumes"] if "projected" in volume]
    assert volume["sources"] == [{"secret": {"name": "t", "items": [{"key": "l", "path": "KEY_FILE"}]}}]


def test_every_variable_that_we_set_is_refused_as_a_credential() -> None:
    ours = variables(model={"source": HUB, "cache": {"persistentVolumeClaim": "c"}}) | variables(
        model={"source": "s3://bucket", "s3": {"endpoint": "http://a", "region": "b"}}
    )
    assert {name for name in ours if not name.startswith(OWNED_VARIABLE_PREFIXES)} == set(OWNED_VARIABLES)


def test_a_store_of_aws_is_reached_as_its_own_tools_do() -> None:
    assert not {name for name in variables(model={"source": "s3://bucket"}) if name.startswith(("AWS", "RUNAI"))}
    found = variables(model={"source": "s3://bucket", "s3": {"region": "eu-central-1"}})
    assert {name: found[name]["value"] for name in found if name.startswith(("AWS", "RUNAI"))} == {
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }


@pytest.mark.parametrize(
    ("model", "container", "path", "words"),
    [
        pytest.param(
            {"source": HUB, "credentials": [{"name": "A", "secret": "s", "key": "k"}]},
            {"env": [{"name": "B", "value": "1"}, {"name": "A", "value": "1"}]},
            "env[1].name",
            "A is in spec.model.credentials too",
            id="a variable",
        ),
        pytest.param(
            {"source": "pvc://claim"},
            {"volumeMounts": [{"name": "x", "mountPath": "/mnt/model/"}]},
            "volumeMounts[0].mountPath",
            "where spec.model.source is mounted",
            id="the model",
        ),
        pytest.param(
            {"source": "oci://image"},
            {"volumeMounts": [{"name": "x", "mountPath": "/mnt//model/a"}]},
            "volumeMounts[0].mountPath",
            "where spec.model.source is mounted",
            id="below the model",
        ),
        pytest.param(
            {"source": HUB, "cache": {"persistentVolumeClaim": "c"}},
            {"volumeMounts": [{"name": "x", "mountPath": "/mnt/model-cache"}]},
            "volumeMounts[0].mountPath",
            "where spec.model.cache is mounted",
            id="the cache",
        ),
        pytest.param(
            {"source": HUB, "credentials": [{"name": "A", "secret": "s", "key": "k", "type": "File"}]},
            {"volumeMounts": [{"name": "x", "mountPath": "/mnt/credentials"}]},
            "volumeMounts[0].mountPath",
            "where spec.model.credentials is mounted",
            id="the credentials",
        ),
    ],
)
def test_a_pod_template_does_not_take_the_models_place(model: Obj, container: Obj, path: str, words: str) -> None:
    overlay = {"spec": {"containers": [{"name": "engine", **container}, {"name": "other", **container}]}}
    with pytest.raises(InvalidResource) as caught:
        parse(raw(model=model, podTemplate=overlay))
    (violation,) = caught.value.violations
    assert violation.path == f"spec.podTemplate.spec.containers[0].{path}"
    assert words in violation.message
    assert parse(raw(podTemplate=overlay))


def test_every_setting_becomes_a_flag_that_the_engine_has() -> None:
    assert set(ALL_SETTINGS) == {field.alias for field in EngineConfig.model_fields.values()}
    snapshot = next((Path(__file__).parents[1] / "double").glob("flags-*.json"))
    options = {option for flag in json.loads(snapshot.read_text())["flags"] for option in flag["options"]}
    for settings in (ALL_SETTINGS, {name: True for name, value in ALL_SETTINGS.items() if value is False}):
        words = engine(model={"source": "s3://bucket"}, engine={"config": settings})["args"]
        flags = [word for word in words if word.startswith("-")]
        assert set(flags) <= options
        assert len(flags) == len(settings) + 3


def test_config_counts_more_than_the_profile_field_by_field() -> None:
    config = {"enforceEager": False, "dtype": "float16"}
    spec: dict[str, Any] = {"engine": {"profile": "memory-constrained", "config": config}}
    assert [(each.name, each.value, each.origin) for each in engine_settings(cluster(**spec))] == [
        ("gpuMemoryPercent", 95, "profile memory-constrained"),
        ("maxNumSeqs", 32, "profile memory-constrained"),
        ("maxNumBatchedTokens", 2048, "profile memory-constrained"),
        ("dtype", "float16", "spec.engine.config"),
        ("enforceEager", False, "spec.engine.config"),
    ]


@pytest.mark.parametrize("profile", list(Profile))
def test_a_profile_says_something_and_nothing_of_devices_where_there_are_none(profile: Profile) -> None:
    of_profile = PROFILES[profile].model_dump(by_alias=True, exclude_none=True)
    spec: dict[str, Any] = {"engine": {"profile": profile.value}}
    assert {each.name: each.value for each in engine_settings(cluster(**spec))} == of_profile
    without = {each.name for each in engine_settings(cluster(**spec, accelerator={"resource": "cpu"}))}
    assert without == of_profile.keys() - {"gpuMemoryPercent", "enforceEager"}
    assert without


def test_without_a_profile_nothing_is_set() -> None:
    assert engine_settings(cluster()) == ()
