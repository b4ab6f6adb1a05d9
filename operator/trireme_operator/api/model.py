"""The model of a resource: where it comes from, with which credentials, and where a download is kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from trireme_operator.api.base import DNS_SUBDOMAIN_PATTERN, Model, ShortText, map_by
from trireme_operator.api.model_config import ModelConfigReference
from trireme_operator.api.quantity import Quantity

OWNED_VARIABLES: Final = {
    "AWS_DEFAULT_REGION": "spec.model.s3.region",
    "AWS_EC2_METADATA_DISABLED": "spec.model.s3.endpoint",
    "AWS_ENDPOINT_URL": "spec.model.s3.endpoint",
    "AWS_REGION": "spec.model.s3.region",
    "HF_HOME": "the operator",
    "HF_HUB_CACHE": "spec.model.cache",
    "HOME": "the operator",
    "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "spec.model.s3.endpoint",
    "USER": "the operator",
    "VLLM_HOST_IP": "the operator",
}
"""Variables of the engine's container, and who sets them."""

OWNED_VARIABLE_PREFIXES: Final = ("TRIREME_", "LWS_")


class CredentialType(StrEnum):
    """How a credential reaches the engine."""

    ENV = "Env"
    FILE = "File"


class Credential(Model):
    """One variable of the engine's container that comes from a Secret."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """The variable's name, for example `HF_TOKEN`, `AWS_ACCESS_KEY_ID` or `GOOGLE_APPLICATION_CREDENTIALS`."""

    secret: Annotated[ShortText, Field(min_length=1, pattern=DNS_SUBDOMAIN_PATTERN)]
    """The Secret's name, in the namespace of the resource. Pods refer to it; the operator never reads it."""

    key: Annotated[ShortText, Field(min_length=1, pattern=r"^[-._a-zA-Z0-9]+$")]
    """The key in the Secret."""

    type: CredentialType = CredentialType.ENV
    """`Env`: the variable holds the Secret's value. `File`: the variable holds the path of a read-only file with that
    value, as `GOOGLE_APPLICATION_CREDENTIALS` and `AWS_CA_BUNDLE` want it."""


class CacheDirectory(Model):
    """An empty directory of each pod."""

    size_limit: Quantity
    """Bytes that a download may take, for example `200Gi`. The pod is evicted when it takes more, before it fills its
    node's disk."""


class ModelCache(Model):
    """Where a model that is downloaded is kept."""

    persistent_volume_claim: Annotated[ShortText, Field(min_length=1, pattern=DNS_SUBDOMAIN_PATTERN)] | None = None
    """A PersistentVolumeClaim in the namespace of the resource. A pod that starts again finds the model there. All pods
    of all zones use it, so with more than one node it must be of access mode ReadWriteMany, and user 64100 must be able
    to write to it."""

    empty_dir: CacheDirectory | None = None
    """An empty directory of each pod, which downloads the model anew when the pod is new."""


class ObjectStore(Model):
    """How an object store that speaks S3 is reached. Absent fields are left to the environment of the pod."""

    endpoint: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """URL of a store that isn't AWS, for example `https://minio.storage:9000`. Buckets are then part of the path and
    not of the host name, and the metadata service of EC2 isn't asked. Default: S3 of AWS."""

    region: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9-]+$")] | None = None
    """Region of the bucket, for example `eu-central-1`."""


class ModelSource(Model):
    """The model to serve."""

    source: Annotated[str, Field(min_length=2, max_length=512)]
    """Where the weights are. `hf://ORGANISATION/NAME[@REVISION]`: the Hugging Face Hub, with a commit, branch or tag.
    `pvc://CLAIM/PATH`: a directory of a PersistentVolumeClaim, mounted read-only. `s3://BUCKET/PATH` and
    `gs://BUCKET/PATH`: safetensors in an object store, streamed into the accelerators. `oci://IMAGE[//PATH]`: an image
    or artifact of a registry, mounted read-only as an image volume (Kubernetes 1.35 or newer), with the directory in
    it. `/PATH`: a directory inside the engine's image."""

    served_name: Annotated[ShortText, Field(min_length=1)] | None = None
    """The model's name in the API, which clients send as `model`. Default: the name of the resource."""

    credentials: list[Credential] = Field(default_factory=list, max_length=16, json_schema_extra=map_by("name"))
    """Variables of the engine's container that come from Secrets, for example the token of the source."""

    cache: ModelCache | None = None
    """Where the download of an `hf://` source is kept; other sources download nothing. Default: an empty directory of
    each pod without a limit."""

    s3: ObjectStore | None = None
    """How the store of an `s3://` source is reached. Default: S3 of AWS, the region as the pod's environment says."""

    config: ModelConfigReference | None = None
    """Where the model's config.json can be read before the model is loaded: with it the condition `Accepted` tells
    whether the model can be cut as `parallelism` says, and whether it fits `accelerator.memory`. Default: the built-in
    dimensions of well-known `hf://` models; of any other model nothing is judged."""
