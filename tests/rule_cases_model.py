"""Cases for the rules about model and engine: each broken once, and what stands just inside of each."""

from typing import Any

HUB = "hf://org/name"
SECRET = {"secret": "s", "key": "k"}
DIGEST = "sha256:" + "0" * 64


def _model(source: str, **fields: Any) -> dict[str, Any]:
    return {"model": {"source": source, **fields}}


def _credential(name: str) -> dict[str, Any]:
    return _model(HUB, credentials=[{"name": name, **SECRET}])


def _engine(**fields: Any) -> dict[str, Any]:
    return {"engine": fields}


_BAD_SOURCES = (
    "http://host/model",
    "az://container/model",
    "models/llama",
    "hf://name",
    "hf://org/name@",
    "pvc:///models",
    "pvc://Claim/models",
    "pvc://claim/a b",
    "pvc://claim/../other",
    "pvc://claim/a/./b",
    "s3://B/model",
    "s3://ab/model",
    "s3://bucket/model?versionId=1",
    "s3://bucket/..",
    "gs://bucket_/model",
    "gs://bucket/a/../b",
    "oci://",
    "oci://registry.example.com/Model:1",
    "oci://registry.example.com/model@sha256:12",
    "oci://registry.example.com/model:1//",
    "oci://registry.example.com/model//../etc",
    "/",
    "/models/a b",
)
_GOOD_SOURCES = (
    HUB,
    "hf://org/name@refs/pr/1",
    "pvc://claim",
    "pvc://claim/",
    "pvc://my.claim-1/hub/models--org--name/snapshots/0a1b",
    "s3://bucket",
    "s3://my.bucket-1/models/llama=3/",
    "gs://my_bucket.example/models/llama",
    "oci://model",
    "oci://model:v1.0",
    "oci://registry.example.com:5000/team/my_model:1",
    f"oci://registry.example.com/team/model@{DIGEST}",
    f"oci://registry.example.com/team/model:1@{DIGEST}//models/llama",
    "/models/llama",
    "/models/../models/llama",
)

BROKEN: list[tuple[str, dict[str, Any]]] = [
    *(("spec.model.source", _model(source)) for source in _BAD_SOURCES),
    ("spec.model.servedName", _model("/models/m", servedName="a name")),
    *(
        ("spec.model", _model(source, cache={"persistentVolumeClaim": "cache"}))
        for source in ("pvc://claim/m", "s3://bucket/m", "gs://bucket/m", "oci://image", "/models/m")
    ),
    *(
        ("spec.model", _model(source, s3={"region": "eu-central-1"}))
        for source in (HUB, "pvc://claim/m", "gs://bucket/m", "oci://image", "/models/m")
    ),
    ("spec.model.cache", _model(HUB, cache={})),
    ("spec.model.cache", _model(HUB, cache={"persistentVolumeClaim": "c", "emptyDir": {"sizeLimit": "1Gi"}})),
    *(
        ("spec.model.s3.endpoint", _model("s3://bucket/m", s3={"endpoint": endpoint}))
        for endpoint in ("minio:9000", "ftp://minio", "https://user@minio", "https://minio/?a=b", "https://minio-")
    ),
    *(
        ("spec.model.credentials[].name", _credential(name))
        for name in ("HOME", "HF_HUB_CACHE", "AWS_ENDPOINT_URL", "TRIREME_ZONE", "LWS_GROUP_SIZE")
    ),
    ("spec.engine", _engine(config={"maxNumSeqs": 9, "maxNumBatchedTokens": 8})),
    ("spec.engine", _engine(profile="production", config={"maxNumBatchedTokens": 255})),
    ("spec.engine", _engine(profile="memory-constrained", config={"maxNumSeqs": 2049})),
    ("spec.engine", _engine(profile="development", config={"maxNumSeqs": 4096, "maxNumBatchedTokens": 4095})),
    ("spec.engine.extraArgs", _engine(extraArgs=["chunked"])),
    ("spec.engine.extraArgs", _engine(extraArgs=["--tensor-parallel-size=8"])),
    ("spec.engine.extraArgs", _engine(extraArgs=["--async-scheduling", "--pipeline_parallel_size", "2"])),
    ("spec.engine.extraArgs", _engine(extraArgs=["-tp", "8"])),
    ("spec.engine.extraArgs", _engine(extraArgs=["--config", "x.yaml"])),
    ("spec.engine.extraArgs", _engine(extraArgs=["--no-enforce-eager"])),
    ("spec.engine.extraArgs", _engine(extraArgs=["-q", "fp8"])),
]

GOOD: list[dict[str, Any]] = [
    *(_model(source) for source in _GOOD_SOURCES),
    _model(HUB, cache={"persistentVolumeClaim": "cache"}),
    _model(HUB, cache={"emptyDir": {"sizeLimit": "200Gi"}}),
    *(
        _model("s3://bucket/m", s3={"endpoint": endpoint})
        for endpoint in ("http://minio", "https://minio.storage:9000", "https://storage.example.com/s3/")
    ),
    _model("s3://bucket/m", s3={"region": "eu-central-1"}, credentials=[{"name": "AWS_ACCESS_KEY_ID", **SECRET}]),
    _credential("HF_TOKEN"),
    _credential("TRIREME"),
    *(_engine(profile=profile) for profile in ("production", "memory-constrained", "development")),
    _engine(config={"maxNumSeqs": 8, "maxNumBatchedTokens": 8}),
    _engine(profile="production", config={"maxNumBatchedTokens": 256}),
    _engine(profile="production", config={"maxNumSeqs": 4096}),
    _engine(profile="memory-constrained", config={"maxNumSeqs": 2048}),
    _engine(profile="development", config={"maxNumSeqs": 4096, "maxNumBatchedTokens": 4096}),
    _engine(extraArgs=["--async-scheduling", "--load-format", "runai_streamer_sharded"]),
]
