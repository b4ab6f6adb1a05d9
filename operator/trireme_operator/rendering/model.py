"""How the engine gets its model: what ``vllm serve`` is told, and the variables and volumes that this needs.

Object stores are read with the Run:ai Model Streamer, which the stock image has for S3 and Google Cloud Storage; its
variables are those of docs/src/env-vars.md and docs/src/usage.md in run-ai/runai-model-streamer. Everything is mounted
below /mnt: a directory that the runtime makes for a mount point belongs to root, so below /home/trireme it would keep
the engine from making its own caches beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.model import Credential, CredentialType, ModelCache, ObjectStore
from trireme_operator.api.mounts import CREDENTIALS_MOUNT, MODEL_CACHE_MOUNT, MODEL_MOUNT
from trireme_operator.api.quantity import canonical
from trireme_operator.planning import Source, SourceKind, source_of

Obj = dict[str, Any]

_MODEL: Final = "trireme-model"
_CACHE: Final = "trireme-model-cache"
_CREDENTIALS: Final = "trireme-credentials"
_GROUP_READS: Final = 0o440


@dataclass(frozen=True)
class ModelParts:
    """The model's share of the engine's container and pod: arguments of ``vllm serve``, variables, mounts, volumes."""

    arguments: tuple[str, ...]
    environment: tuple[Obj, ...]
    mounts: tuple[Obj, ...]
    volumes: tuple[Obj, ...]


def model_parts(cluster: InferenceCluster) -> ModelParts:
    """What the source, its credentials and its cache come to."""
    model, source = cluster.spec.model, source_of(cluster.spec.model.source)
    volumes = [*_source_volumes(source), *_cache_volumes(model.cache), *_credential_volumes(model.credentials)]
    return ModelParts(
        arguments=tuple(_arguments(source)),
        environment=(
            *(_credential(credential) for credential in model.credentials),
            *_store_environment(model.s3),
            *([] if model.cache is None else [_value("HF_HUB_CACHE", MODEL_CACHE_MOUNT)]),
        ),
        mounts=tuple(mount for _, mount in volumes),
        volumes=tuple(volume for volume, _ in volumes),
    )


def _arguments(source: Source) -> list[str]:
    match source.kind:
        case SourceKind.HUB:
            return [source.name, *(["--revision", source.revision] if source.revision else [])]
        case SourceKind.CLAIM | SourceKind.IMAGE:
            return [f"{MODEL_MOUNT}/{source.path}" if source.path else MODEL_MOUNT]
        case SourceKind.S3 | SourceKind.GCS:
            return [source.name, "--load-format", "runai_streamer"]
        case SourceKind.PATH:
            return [source.name]


def _source_volumes(source: Source) -> list[tuple[Obj, Obj]]:
    """The whole claim or image, not a part of it: a checkpoint of the hub's cache is links to files beside it.

    The claim is read-only as a volume too, so that the kubelet doesn't change the owner of each file of the model.
    """
    mount = {"name": _MODEL, "mountPath": MODEL_MOUNT, "readOnly": True}
    match source.kind:
        case SourceKind.CLAIM:
            return [({"name": _MODEL, "persistentVolumeClaim": {"claimName": source.name, "readOnly": True}}, mount)]
        case SourceKind.IMAGE:
            return [({"name": _MODEL, "image": {"reference": source.name}}, mount)]
        case _:
            return []


def _cache_volumes(cache: ModelCache | None) -> list[tuple[Obj, Obj]]:
    if cache is None:
        return []
    if cache.empty_dir is not None:
        kept: Obj = {"emptyDir": {"sizeLimit": canonical(cache.empty_dir.size_limit)}}
    else:
        kept = {"persistentVolumeClaim": {"claimName": cache.persistent_volume_claim}}
    return [({"name": _CACHE, **kept}, {"name": _CACHE, "mountPath": MODEL_CACHE_MOUNT})]


def _credential_volumes(credentials: list[Credential]) -> list[tuple[Obj, Obj]]:
    sources = [
        {"secret": {"name": each.secret, "items": [{"key": each.key, "path": each.name}]}}
        for each in credentials
        if each.type is CredentialType.FILE
    ]
    if not sources:
        return []
    volume = {"name": _CREDENTIALS, "projected": {"sources": sources, "defaultMode": _GROUP_READS}}
    return [(volume, {"name": _CREDENTIALS, "mountPath": CREDENTIALS_MOUNT, "readOnly": True})]


def _credential(credential: Credential) -> Obj:
    if credential.type is CredentialType.FILE:
        return _value(credential.name, f"{CREDENTIALS_MOUNT}/{credential.name}")
    reference = {"name": credential.secret, "key": credential.key}
    return {"name": credential.name, "valueFrom": {"secretKeyRef": reference}}


def _store_environment(store: ObjectStore | None) -> list[Obj]:
    if store is None:
        return []
    # Without a name for each bucket in DNS; and a store that isn't AWS has no metadata service to wait for.
    endpoint = {
        "AWS_ENDPOINT_URL": store.endpoint,
        "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    region = {"AWS_REGION": store.region, "AWS_DEFAULT_REGION": store.region}
    chosen = (endpoint if store.endpoint else {}) | (region if store.region else {})
    return [_value(name, str(value)) for name, value in chosen.items()]


def _value(name: str, value: str) -> Obj:
    return {"name": name, "value": value}
