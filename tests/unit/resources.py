"""InferenceClusters for the tests of api, planning and rendering."""

from __future__ import annotations

from typing import Any

from trireme_operator.api import InferenceCluster, parse

Obj = dict[str, Any]


def raw(name: str = "llama", **spec: Any) -> Obj:
    """A resource as the API server hands it out: the smallest one, with ``spec`` on top."""
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "InferenceCluster",
        "metadata": {"name": name, "namespace": "genai", "uid": "0b7c", "generation": 1},
        "spec": {"model": {"source": "hf://meta-llama/Llama-3.1-8B-Instruct"}, **spec},
    }


def cluster(name: str = "llama", **spec: Any) -> InferenceCluster:
    return parse(raw(name, **spec))


def zones(*names: str, **fields: int) -> list[Obj]:
    return [{"name": name, **fields} for name in names]
