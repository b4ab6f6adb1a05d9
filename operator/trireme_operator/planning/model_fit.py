"""Whether a resource's model can be cut as asked and fits its devices, as far as its dimensions are known."""

from __future__ import annotations

from dataclasses import dataclass

from trireme_operator.api import InferenceCluster, InvalidResource, Violation
from trireme_operator.api.quantity import value_of
from trireme_operator.planning import divisibility
from trireme_operator.planning.engine_memory import GIB, argument, engine_memory
from trireme_operator.planning.geometry import GroupGeometry
from trireme_operator.planning.memory import MemoryFit, Verdict, memory_fit
from trireme_operator.planning.model_config import Decoder, ModelConfig
from trireme_operator.planning.weights import Cut

_MEMORY = "spec.accelerator.memory"


@dataclass(frozen=True)
class ModelFit:
    """What can be told: the memory of the ranks, or None with a ``note`` that says why it is not known.

    ``warning`` is what should be said of a resource that is taken all the same; empty without reason for one.
    """

    memory: MemoryFit | None = None
    note: str = ""
    warning: str = ""


def model_fit(cluster: InferenceCluster, shape: GroupGeometry, config: ModelConfig | None) -> ModelFit:
    """Judge a resource whose model has these dimensions; None when they are not known.

    Raises:
        InvalidResource: the model can't be cut this way, or its weights alone are larger than a device.

    """
    if argument(cluster.spec.engine.extra_args, "--hf-overrides") is not None:
        return _unknown(cluster, "--hf-overrides of spec.engine may change the model's dimensions")
    if config is None:
        why = "nothing is known of the model's dimensions: name a ConfigMap with its config.json in spec.model.config"
        return _unknown(cluster, why)
    cut = _cut(cluster, shape)
    refused = divisibility.violations(config, cut)
    if refused:
        raise InvalidResource(*refused)
    if config.decoder is None:
        return _unknown(cluster, config.note)
    device = device_bytes(cluster)
    engine = engine_memory(cluster, config.decoder, device=device)
    if engine.uncounted:
        return _unknown(cluster, f"{engine.uncounted} of spec.engine changes what is kept in a device's memory")
    memory = memory_fit(config, config.decoder, cut, engine, device=device)
    if memory.verdict is Verdict.WEIGHTS_TOO_LARGE:
        raise InvalidResource(_too_large(config, config.decoder, cut, memory))
    return ModelFit(memory, warning=_warning(memory))


def device_bytes(cluster: InferenceCluster) -> int | None:
    """The memory of one device in bytes; None when the resource doesn't tell it."""
    memory = cluster.spec.accelerator.memory
    return None if memory is None else int(value_of(memory))


def gib(size: int) -> str:
    """Bytes for people: 1.5 GiB."""
    tenths = (abs(size) * 10 + GIB // 2) // GIB
    return f"{'-' if size < 0 else ''}{tenths // 10}.{tenths % 10} GiB"


def _cut(cluster: InferenceCluster, shape: GroupGeometry) -> Cut:
    # Resources that were stored before the field have the flag.
    whole = shape.expert or argument(cluster.spec.engine.extra_args, "--enable-expert-parallel") is not None
    # Experts are cut over all ranks of a stage, those of other replicas included.
    return Cut(shape.tensor, shape.pipeline, expert=shape.tensor * shape.data, whole_experts=whole)


def _unknown(cluster: InferenceCluster, why: str) -> ModelFit:
    told = cluster.spec.accelerator.memory is not None
    return ModelFit(note=why, warning=f"{_MEMORY} is not compared with the model: {why}" if told else "")


def _too_large(config: ModelConfig, decoder: Decoder, cut: Cut, memory: MemoryFit) -> Violation:
    worst = max(memory.stages, key=lambda each: each.weights)
    values = [value for value in divisibility.tensor_values(config, cut) if value > cut.tensor]
    enough = next(
        (value for value in values if _weights(config, decoder, cut, memory, value) <= (memory.device or 0)), 0
    )
    way_out = f"parallelism.tensor {enough} would do for the weights" if enough else "cut the model into more stages"
    return Violation(
        "spec.parallelism",
        f"the weights of each rank of stage {worst.stage.number} take {gib(worst.weights)} (an estimate), more than the"
        f" {gib(memory.device or 0)} of a device ({_MEMORY}): {way_out}, or choose a quantized model",
    )


def _weights(config: ModelConfig, decoder: Decoder, cut: Cut, memory: MemoryFit, tensor: int) -> int:
    """The largest weights of a rank if the model were cut by ``tensor``."""
    wider = Cut(tensor, cut.pipeline, cut.expert // cut.tensor * tensor, cut.whole_experts)
    return max(stage.weights for stage in memory_fit(config, decoder, wider, memory.engine, device=None).stages)


def _warning(memory: MemoryFit) -> str:
    if memory.verdict is not Verdict.NO_ROOM_FOR_ONE_SEQUENCE:
        return ""
    worst = min(memory.stages, key=lambda each: memory.room_bytes(each) or 0)
    room = memory.room_bytes(worst) or 0
    return (
        f"by an estimate the engine will not start: of {gib(memory.budget or 0)} ({memory.engine.percent} % of"
        f" {_MEMORY}), weights take {gib(worst.weights)} and activations {gib(worst.activations)}, which leaves"
        f" {gib(max(0, room))} for the KV cache, and one sequence of {memory.engine.length} tokens takes"
        f" {gib(memory.sequence_bytes(worst))}: lower engine.config.maxModelLen or raise parallelism.tensor or pipeline"
    )
