"""How one copy of the model is cut over accelerators, and how many ranks share a pod."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import UNSTORED_DEFAULT, Model
from trireme_operator.api.quantity import Quantity


class LoadBalancing(StrEnum):
    """Who chooses the data parallel rank that answers a request."""

    INTERNAL = "Internal"
    HYBRID = "Hybrid"
    EXTERNAL = "External"


class Parallelism(Model):
    """How the model is cut over accelerators. tensor x pipeline x data ranks make one group, which starts, serves,
    fails and is replaced as a whole.
    """

    tensor: Annotated[int, Field(ge=1, le=128)] = 1
    """Ranks that share each layer (tensor parallelism). The model's attention heads must be divisible by it."""

    pipeline: Annotated[int, Field(ge=1, le=128)] = 1
    """Stages that the layers are cut into (pipeline parallelism)."""

    data: Annotated[int, Field(ge=1, le=512, json_schema_extra=UNSTORED_DEFAULT)] = 1
    """Replicas inside a group (data parallelism), each of tensor x pipeline ranks. Meant for mixture-of-experts
    models, whose replicas step together and share the experts. Copies of a dense model are better made with
    `replicas`, as each of these fails alone. Default: 1."""

    expert: Annotated[bool, Field(json_schema_extra=UNSTORED_DEFAULT)] = False
    """Spread the experts of a mixture-of-experts model over all tensor x data ranks of a pipeline stage, instead of
    cutting each expert over the tensor ranks (`--enable-expert-parallel`). Default: false."""

    load_balancing: LoadBalancing | None = None
    """With `data` above 1, who chooses the replica that answers a request. `Internal`: the leader serves HTTP and
    spreads requests over all replicas. `Hybrid`: every pod serves HTTP and spreads its requests over its own replicas,
    two or more. `External`: every pod serves HTTP and has one replica; the Service or gateway alone spreads requests.
    Hybrid and External are for mixture-of-experts models and take the leader off the path of every answer. Default:
    `Internal`."""


class Accelerator(Model):
    """The device that a rank runs on."""

    resource: Annotated[str, Field(min_length=1, max_length=317)] = "nvidia.com/gpu"
    """The extended resource that a pod asks for, one device a rank. `cpu` means ranks without a device."""

    per_pod: Annotated[int, Field(ge=1, le=64)] | None = None
    """Ranks, and so devices, in each pod. A group has tensor x pipeline x data / perPod pods. A pod holds a part of a
    pipeline stage, whole stages of one replica, or whole replicas. Default: `parallelism.tensor`, so that tensor
    parallelism stays inside a pod and each pod is one pipeline stage."""

    memory: Quantity | None = None
    """Memory of one device in bytes, for example `80Gi`. When the model's dimensions are known, a model whose weights
    alone are larger is refused, and the condition `Accepted` warns of one that leaves no room for its longest
    sequence. Default: memory is not judged."""
