"""What is known of a resource's model before it is loaded, and what follows from it for the condition ``Accepted``."""

from dataclasses import dataclass

from trireme_operator.api import InferenceCluster
from trireme_operator.kube import CONFIG_MAP, Forbidden, KubeApi, NotFound
from trireme_operator.planning import (
    GroupGeometry,
    ModelConfig,
    UnreadableConfigError,
    look_up,
    model_fit,
    read_text,
)


@dataclass(frozen=True)
class ModelCheck:
    """What ``Accepted`` says of the model: why its config.json can't be read, or what to beware of; empty when fine."""

    problem: str = ""
    warning: str = ""


async def check_model(api: KubeApi, cluster: InferenceCluster, shape: GroupGeometry) -> ModelCheck:
    """Judge the model by the ConfigMap that the resource names, else by the built-in dimensions.

    A ConfigMap that can't be read is a problem and no refusal: groups that run must not stop because somebody deleted
    a file that no pod uses.

    Raises:
        InvalidResource: the model can't be cut as asked, or its weights alone are larger than a device.
        KubeError: the API server did not say whether the ConfigMap exists.

    """
    try:
        config = await _config(api, cluster)
    except (NotFound, Forbidden, UnreadableConfigError) as error:
        return ModelCheck(problem=f"the model is not judged: {_place(cluster)}: {_cause(error)}")
    return ModelCheck(warning=model_fit(cluster, shape, config).warning)


async def _config(api: KubeApi, cluster: InferenceCluster) -> ModelConfig | None:
    reference = cluster.spec.model.config
    if reference is None:
        return look_up(cluster.spec.model.source)
    live = await api.get(CONFIG_MAP, cluster.metadata.namespace, reference.config_map)
    text = (live.get("data") or {}).get(reference.key)
    if text is None:
        keys = ", ".join(sorted(live.get("data") or {})[:5]) or "none"
        raise UnreadableConfigError(f"it has no key {reference.key} (its keys: {keys}): set spec.model.config.key")
    return read_text(text)


def _place(cluster: InferenceCluster) -> str:
    reference = cluster.spec.model.config
    return f"ConfigMap {reference.config_map} of spec.model.config" if reference is not None else ""


def _cause(error: NotFound | Forbidden | UnreadableConfigError) -> str:
    if isinstance(error, NotFound):
        return "it does not exist: create it with the model's config.json, or remove spec.model.config"
    return error.message if isinstance(error, Forbidden) else str(error)
