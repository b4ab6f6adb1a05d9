"""Where ``spec.podTemplate`` and ``spec.model`` speak of the same variable or the same directory."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from trireme_operator.api.model import CredentialType, ModelSource
from trireme_operator.api.mounts import CREDENTIALS_MOUNT, MODEL_CACHE_MOUNT, MODEL_MOUNT
from trireme_operator.api.violations import Violation


def clashes(model: ModelSource, engine: Mapping[str, Any], path: str) -> Iterator[Violation]:
    """What the engine's container of a podTemplate, at ``path``, may not say beside the model.

    A resource that says nothing of credentials, caches and mounted sources has none of these clashes.
    """
    named = {credential.name for credential in model.credentials}
    for index, variable in enumerate(engine.get("env") or []):
        if variable["name"] in named:
            yield Violation(
                f"{path}.env[{index}].name",
                f"{variable['name']} is in spec.model.credentials too, which would have no effect: remove one of them",
            )
    taken = dict(_mounts(model))
    for index, mount in enumerate(engine.get("volumeMounts") or []):
        at = posixpath.normpath(str(mount["mountPath"]))
        for directory, owner in taken.items():
            if at == directory or at.startswith(f"{directory}/"):
                yield Violation(
                    f"{path}.volumeMounts[{index}].mountPath",
                    f"{mount['mountPath']} is where {owner} is mounted: mount at another path",
                )


def _mounts(model: ModelSource) -> Iterator[tuple[str, str]]:
    if model.source.startswith(("pvc://", "oci://")):
        yield MODEL_MOUNT, "spec.model.source"
    if model.cache is not None:
        yield MODEL_CACHE_MOUNT, "spec.model.cache"
    if any(credential.type is CredentialType.FILE for credential in model.credentials):
        yield CREDENTIALS_MOUNT, "spec.model.credentials"
