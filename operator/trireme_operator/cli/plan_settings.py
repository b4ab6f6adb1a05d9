"""The part of ``trireme plan`` that says what the engine is started with, and which field each setting comes from."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from trireme_operator.api import InferenceCluster
from trireme_operator.planning import engine_settings
from trireme_operator.rendering.engine import arguments
from trireme_operator.rendering.model import model_parts


def data(cluster: InferenceCluster) -> dict[str, Any]:
    """Model and settings for other programs; ``profile`` is null without one."""
    engine = cluster.spec.engine
    return {
        "model": {"source": cluster.spec.model.source, "arguments": list(model_parts(cluster).arguments)},
        "profile": None if engine.profile is None else engine.profile.value,
        "settings": [
            {"name": each.name, "value": each.value, "from": each.origin, "arguments": arguments(each)}
            for each in engine_settings(cluster)
        ],
        "extraArgs": engine.extra_args,
    }


def table(shown: dict[str, Any]) -> Table:
    """The settings for people; what is not in it is left to vLLM."""
    profile = f", profile {shown['profile']}" if shown["profile"] else ""
    found = Table("setting", "value", "from", "vllm serve", title=f"engine settings{profile}", title_justify="left")
    found.add_row("source", shown["model"]["source"], "spec.model", " ".join(shown["model"]["arguments"]))
    for each in shown["settings"]:
        value = str(each["value"]).lower() if isinstance(each["value"], bool) else str(each["value"])
        found.add_row(each["name"], value, each["from"], " ".join(each["arguments"]))
    if shown["extraArgs"]:
        found.add_row("extraArgs", "", "spec.engine.extraArgs", " ".join(shown["extraArgs"]))
    return found
