"""Each rule of the resource, broken once: for the API server and for the offline check alike."""

import copy
from typing import Any

from tests.unit.controller_samples import resource

BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("spec", {"replicas": 2}),
    ("spec", {"parallelism": {"tensor": 2, "pipeline": 2}, "accelerator": {"resource": "cpu", "perPod": 3}}),
    ("spec", {"parallelism": {"tensor": 4, "pipeline": 3}, "accelerator": {"resource": "cpu", "perPod": 6}}),
    ("spec.model.source", {"model": {"source": "s3://bucket/model"}}),
    ("spec.model.servedName", {"model": {"source": "/models/m", "servedName": "a name"}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["chunked"]}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["--tensor-parallel-size=8"]}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["--enforce-eager", "--pipeline_parallel_size", "2"]}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["-tp", "8"]}}),
    ("spec.engine.extraArgs", {"engine": {"extraArgs": ["--config", "x.yaml"]}}),
    ("spec.accelerator.resource", {"accelerator": {"resource": "gpu"}}),
    ("spec.resources", {"resources": {"requests": {"cpu": "8"}, "limits": {"cpu": "500m"}}}),
    ("spec.resources", {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
    ("spec.zones", {"zones": [{"name": "a", "weight": 0}, {"name": "b", "weight": 0}]}),
    ("spec.service.annotations[].name", {"service": {"annotations": [{"name": "trireme.dev/x", "value": "1"}]}}),
    ("spec.gateway.hostnames[]", {"gateway": {"parentRefs": [{"name": "g"}], "hostnames": ["10.0.0.1"]}}),
    ("spec.gateway.paths[]", {"gateway": {"parentRefs": [{"name": "g"}], "paths": ["v1"]}}),
]
"""Where the broken rule stands, as `Rule.where` says it, and the fields of the spec that break it."""


def broken(where: str, spec: dict[str, Any], *, namespace: str) -> dict[str, Any]:
    """A document that breaks a rule: the root's by its name, any other by its spec."""
    document = copy.deepcopy(resource(**spec))
    document["metadata"] = {"name": "llm" if where else "x" * 41, "namespace": namespace}
    return document
