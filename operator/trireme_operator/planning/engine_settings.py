"""The engine's settings with the profile filled in, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.engine import EngineConfig
from trireme_operator.api.profiles import DEVICE_SETTINGS, PROFILES
from trireme_operator.api.resource import CPU

FROM_CONFIG: Final = "spec.engine.config"


@dataclass(frozen=True)
class EngineSetting:
    """One setting: its name in ``spec.engine.config``, its value, and which part of the resource it comes from."""

    name: str
    value: int | bool | str
    origin: str


def engine_settings(cluster: InferenceCluster) -> tuple[EngineSetting, ...]:
    """Every setting that the resource or its profile makes, in the order of the fields of EngineConfig."""
    engine = cluster.spec.engine
    profile = EngineConfig() if engine.profile is None else PROFILES[engine.profile]
    left_out = DEVICE_SETTINGS if cluster.spec.accelerator.resource == CPU else frozenset()
    found = []
    for name, field in EngineConfig.model_fields.items():
        own = getattr(engine.config, name)
        named = None if name in left_out else getattr(profile, name)
        value, origin = (own, FROM_CONFIG) if own is not None else (named, f"profile {engine.profile}")
        if value is not None:
            found.append(EngineSetting(field.alias or name, value, origin))
    return tuple(found)
