"""The resource InferenceCluster: the models that the CustomResourceDefinition and the API reference are made from."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from trireme_operator.api.autoscaling import Autoscaling
from trireme_operator.api.base import (
    ANY_FIELDS,
    UNSTORED_DEFAULT,
    Model,
    map_by,
)
from trireme_operator.api.engine import Engine
from trireme_operator.api.failover import Failover
from trireme_operator.api.gateway import Gateway
from trireme_operator.api.health import Health
from trireme_operator.api.model import ModelSource
from trireme_operator.api.monitoring import Monitoring
from trireme_operator.api.network import Network
from trireme_operator.api.network_policy import NetworkPolicy
from trireme_operator.api.parallelism import Accelerator, Parallelism
from trireme_operator.api.preflight import Preflight
from trireme_operator.api.quantity import Quantity
from trireme_operator.api.restarts import Restarts
from trireme_operator.api.rollout import Rollout
from trireme_operator.api.scheduling import Scheduling
from trireme_operator.api.service import Service
from trireme_operator.api.zones import Zone

GROUP: Final = "trireme.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "InferenceCluster"
PLURAL: Final = "inferenceclusters"
API_VERSION: Final = f"{GROUP}/{VERSION}"

CPU: Final = "cpu"


class ComputeResources(Model):
    """Processor and memory of each pod's engine container."""

    cpu: Quantity | None = None
    """Cores, for example `8` or `500m`."""

    memory: Quantity | None = None
    """Bytes, for example `64Gi`."""


class Resources(Model):
    """What each pod's engine container asks for beside its devices."""

    requests: ComputeResources = ComputeResources()
    """What the scheduler reserves on the node."""

    limits: ComputeResources = ComputeResources()
    """What the container may not exceed. Absent: no limit."""

    shared_memory: Quantity = "8Gi"
    """Largest size of /dev/shm, over which the ranks of a pod talk to each other. It is memory of the pod and counts
    towards its limit when used."""


class PodTemplate(Model):
    """Laid over the rendered pods."""

    metadata: Annotated[dict[str, Any], Field(json_schema_extra=ANY_FIELDS)] | None = None
    """Labels and annotations."""

    spec: Annotated[dict[str, Any], Field(json_schema_extra=ANY_FIELDS)] | None = None
    """Fields of a pod's spec, for example tolerations, imagePullSecrets, volumes or env of the engine's container."""


class Spec(Model):
    """What is wanted."""

    model: ModelSource
    """The model to serve."""

    engine: Engine = Engine()
    """The engine that runs it."""

    parallelism: Parallelism = Parallelism()
    """How one copy of the model is cut over accelerators."""

    accelerator: Accelerator = Accelerator()
    """The device that a rank runs on."""

    resources: Resources = Resources()
    """Processor, memory and shared memory of each pod."""

    network: Network | None = None
    """What the ranks of a group talk over, when they are in different pods. Absent: the pods' own network."""

    scheduling: Scheduling | None = None
    """Keeps the pods of each group together. Absent: they may run on any nodes of their zone."""

    preflight: Preflight | None = None
    """Proves nodes and network before a group loads its model. Absent: nothing is checked."""

    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Groups of a resource without `zones`, each a whole copy of the model, each inside one zone. Default: 1. With
    `autoscaling`: the number to start with, between its minReplicas (the default) and maxReplicas."""

    zones: Annotated[list[Zone], Field(min_length=1, max_length=16, json_schema_extra=map_by("name"))] | None = None
    """The zones that groups run in. Absent: one pool over all zones, with `replicas` groups."""

    autoscaling: Autoscaling | None = None
    """Scales the groups of each zone by load, with one HorizontalPodAutoscaler a zone. Absent: as many groups as
    `replicas` says. When it is taken away, say how many groups are to stay."""

    service: Service = Service()
    """The Service over all groups."""

    gateway: Gateway | None = None
    """The way in from outside. Absent: no HTTPRoute."""

    network_policy: NetworkPolicy | None = None
    """Who may connect to the pods. Absent: no NetworkPolicy. It takes effect where the cluster's network plugin
    enforces NetworkPolicies."""

    failover: Failover | None = None
    """How traffic leaves a zone and comes back, and what is done about groups whose node is lost. Absent: the defaults
    of its fields."""

    restarts: Restarts | None = None
    """How soon and how often a group that failed is started again. Absent: the defaults of its fields."""

    rollout: Rollout | None = None
    """How a change of the pods reaches groups that run. Absent: the defaults of its fields."""

    health: Health | None = None
    """When a group leaves rotation, and when it is ended and recreated. Absent: the defaults of its fields."""

    monitoring: Annotated[Monitoring, Field(json_schema_extra=UNSTORED_DEFAULT)] = Monitoring()
    """Metrics for Prometheus."""

    pod_template: PodTemplate | None = None
    """Laid over the pods of leaders and workers, as `kubectl patch --type strategic` would: objects are merged, lists
    with a key (containers, env, volumes, volumeMounts, ports) item by item, tolerations are added. The engine's
    container is called `engine`. What the operator owns, and what Pod Security `restricted` forbids, is refused: the
    condition `Accepted` says which field and why."""


class ObjectMeta(Model):
    """What Trireme reads of an object's metadata."""

    model_config = ConfigDict(extra="ignore")

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: str | None = None
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class InferenceCluster(Model):
    """One large language model, run by vLLM in groups of pods over GPUs, nodes and zones."""

    api_version: str = API_VERSION
    kind: str = KIND
    metadata: ObjectMeta
    spec: Spec

    @property
    def served_name(self) -> str:
        """The model's name in the API."""
        return self.spec.model.served_name or self.metadata.name
