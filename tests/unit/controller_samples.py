"""Resources and pods for the controller's unit tests."""

from typing import Any

from trireme_operator.kube import Obj

NAMESPACE = "genai"


def resource(**spec: Any) -> Obj:
    """A resource as the API server would hand it out: two zones and a gateway unless told otherwise."""
    defaults: dict[str, Any] = {
        "model": {"source": "hf://HuggingFaceTB/SmolLM2-135M-Instruct"},
        "parallelism": {"tensor": 1, "pipeline": 2},
        "accelerator": {"resource": "cpu", "perPod": 1},
        "zones": [{"name": "zone-a", "replicas": 1, "weight": 60}, {"name": "zone-b", "replicas": 2, "weight": 40}],
        "gateway": {"parentRefs": [{"name": "edge", "namespace": "infra"}], "hostnames": ["llm.example.com"]},
    }
    merged = {key: value for key, value in (defaults | spec).items() if value is not None}
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "InferenceCluster",
        "metadata": {"name": "llm", "namespace": NAMESPACE, "generation": 1},
        "spec": merged,
    }


def pod(set_name: str, group: int, worker: int, *, ready: bool = True, **status: Any) -> Obj:
    """A pod of a group, as LeaderWorkerSet labels it."""
    name = f"{set_name}-{group}" + (f"-{worker}" if worker else "")
    condition = {"type": "Ready", "status": str(ready)}
    running = {"containerStatuses": [{"name": "engine", "state": {"running": {}}}]}
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {
                "trireme.dev/cluster": "llm",
                "leaderworkerset.sigs.k8s.io/name": set_name,
                "leaderworkerset.sigs.k8s.io/group-index": str(group),
                "leaderworkerset.sigs.k8s.io/worker-index": str(worker),
            },
            "annotations": {"leaderworkerset.sigs.k8s.io/size": "2"},
        },
        "status": {"conditions": [condition], **running, **status},
    }
