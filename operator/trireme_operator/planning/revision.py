"""Which revision of the pods a resource asks for.

A revision is new when an input of the resource that reaches a pod is new, and only then: number of groups, zones,
weights, Services and routes don't reach pods, and neither does the version of the operator.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.labels import ANNOTATION_RENDERING
from trireme_operator.api.model import ModelSource
from trireme_operator.api.network import Network
from trireme_operator.api.quantity import canonical
from trireme_operator.api.resource import ComputeResources
from trireme_operator.planning.geometry import GroupGeometry, geometry
from trireme_operator.planning.health import health_inputs
from trireme_operator.planning.preflight import preflight

_HASH_LENGTH: Final = 10
_MODEL_FIELDS: Final = frozenset({"credentials", "cache", "s3"})
_RENDERING_LENGTH: Final = 8
_RENDERING: Final = re.compile(rf"-[0-9a-f]{{{_RENDERING_LENGTH}}}")


def template_inputs(cluster: InferenceCluster) -> dict[str, Any]:
    """Every input of the resource that reaches a pod, in one spelling for all that mean the same.

    The keys here are stored in revisions: a field that comes into the resource later is added only when it is set, so
    that resources without it keep their revision.

    Raises:
        InvalidResource: the ranks can't be spread over pods.

    """
    spec, shape = cluster.spec, geometry(cluster)
    engine = spec.engine.model_dump(mode="json", by_alias=True, exclude_none=True)
    inputs = {
        "model": {"source": spec.model.source, "servedName": cluster.served_name} | _model(spec.model),
        "engine": engine,
        "parallelism": _parallelism(shape),
        "accelerator": spec.accelerator.resource,
        "resources": {
            "requests": _compute(spec.resources.requests),
            "limits": _compute(spec.resources.limits),
            "sharedMemory": canonical(spec.resources.shared_memory),
        },
    }
    overlay = spec.pod_template.model_dump(mode="json", by_alias=True, exclude_none=True) if spec.pod_template else {}
    together = {"scheduling": spec.scheduling.model_dump(mode="json", by_alias=True)} if spec.scheduling else {}
    network = {"network": wired} if (wired := _network(spec.network)) else {}
    health = {"health": told} if (told := health_inputs(cluster)) else {}
    launching = health | _preflight(cluster)
    return inputs | network | launching | together | ({"podTemplate": overlay} if overlay else {})


def inputs_name(cluster: InferenceCluster) -> str:
    """The name of the inputs' first rendering: the resource's name and 10 hexadecimal digits of the inputs.

    Raises:
        InvalidResource: the ranks can't be spread over pods.

    """
    return f"{cluster.metadata.name}-{_digest(template_inputs(cluster), _HASH_LENGTH)}"


def revision_name(cluster: InferenceCluster) -> str:
    """The name of the ControllerRevision that the resource asks for.

    It is that of the inputs, unless the annotation ``trireme.dev/rendering`` names a later rendering of these same
    inputs; one of other inputs, from before an edit of the spec, counts for nothing.

    Raises:
        InvalidResource: the ranks can't be spread over pods.

    """
    first = inputs_name(cluster)
    chosen = cluster.metadata.annotations.get(ANNOTATION_RENDERING, "")
    # One pattern for all resources: `re` would keep one for each of them.
    later = chosen.startswith(first) and _RENDERING.fullmatch(chosen, len(first))
    return chosen if later else first


def rendering_name(cluster: InferenceCluster, template: Mapping[str, Any]) -> str:
    """The name under which ``template`` is a later rendering of the resource's inputs.

    Raises:
        InvalidResource: the ranks can't be spread over pods.

    """
    return f"{inputs_name(cluster)}-{_digest(template, _RENDERING_LENGTH)}"


def _digest(value: Mapping[str, Any], length: int) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _model(model: ModelSource) -> dict[str, Any]:
    """What is set of the fields beside source and name."""
    inputs = {
        name: value
        for name, value in model.model_dump(mode="json", by_alias=True, exclude_none=True).items()
        if name in _MODEL_FIELDS and value
    }
    if model.cache is not None and model.cache.empty_dir is not None:
        inputs["cache"] = {"emptyDir": {"sizeLimit": canonical(model.cache.empty_dir.size_limit)}}
    return inputs


def _network(network: Network | None) -> dict[str, Any]:
    """What is set; a number of RDMA devices that is the default is written out, so that both mean the same."""
    if network is None:
        return {}
    inputs = network.model_dump(mode="json", by_alias=True, exclude_none=True)
    if network.rdma_resource:
        inputs["rdmaPerPod"] = network.rdma_per_pod or 1
    if network.topology is not None:
        inputs["topology"] = {"configMap": network.topology.config_map, "key": network.topology.file}
    return {name: value for name, value in inputs.items() if value not in ("", [])}


def _preflight(cluster: InferenceCluster) -> dict[str, Any]:
    """Nothing where it is off: that is how pods were before there was one."""
    planned = preflight(cluster)
    if planned is None:
        return {}
    found = {"mode": planned.mode.value, "timeoutSeconds": planned.timeout_seconds}
    return {"preflight": found | ({"minBandwidthGBps": planned.min_bandwidth} if planned.min_bandwidth else {})}


def _parallelism(shape: GroupGeometry) -> dict[str, Any]:
    inputs: dict[str, Any] = {"tensor": shape.tensor, "pipeline": shape.pipeline, "perPod": shape.ranks_per_pod}
    if shape.balancing is not None:
        inputs |= {"data": shape.data, "loadBalancing": shape.balancing.value}
    return inputs | ({"expert": True} if shape.expert else {})


def _compute(resources: ComputeResources) -> dict[str, str]:
    values = {"cpu": resources.cpu, "memory": resources.memory}
    return {name: canonical(value) for name, value in values.items() if value is not None}
