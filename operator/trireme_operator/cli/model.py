"""What the commands know of a resource's model: its config.json, or the built-in dimensions of well-known models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from trireme_operator.api import InferenceCluster, InvalidResource
from trireme_operator.cli.output import Exit, fail, note
from trireme_operator.planning import (
    MemoryFit,
    ModelConfig,
    ModelFit,
    UnreadableConfigError,
    Verdict,
    geometry,
    gib,
    look_up,
    model_fit,
    read_text,
)

ModelConfigOption = Annotated[
    str | None,
    typer.Option(
        "--model-config",
        metavar="PATH",
        help="The model's config.json, for every resource of the files. Default: built-in dimensions, by hf:// name.",
    ),
]

_WORDS = {
    Verdict.WEIGHTS_TOO_LARGE: "refused: the weights alone are larger than a device",
    Verdict.NO_ROOM_FOR_ONE_SEQUENCE: "too small: no sequence of the greatest length fits, the engine would not start",
    Verdict.ROOM_FOR_SOME_SEQUENCES: "starts: of {wanted} sequences of {length} tokens, {fitting} fit at a time",
    Verdict.FITS: "fits: all of {wanted} sequences of {length} tokens, and {fitting} in all",
    Verdict.UNKNOWN: "no verdict: the memory of a device is not told (spec.accelerator.memory or --accelerator-memory)",
}


def read_model_config(path: str | None) -> ModelConfig | None:
    """The model's dimensions as a file has them; None without one. Ends the program when it can't be read."""
    if path is None:
        return None
    try:
        return read_text(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, UnreadableConfigError) as error:
        fail(f"{path}: {error}")


def known_config(cluster: InferenceCluster, given: ModelConfig | None, name: str) -> ModelConfig | None:
    """The dimensions to judge a resource by; a ConfigMap that it names can't be read here, which is noted."""
    if given is not None:
        return given
    reference = cluster.spec.model.config
    if reference is None:
        return look_up(cluster.spec.model.source)
    note(
        f"{name}: the operator will judge the model by ConfigMap {reference.config_map}: give the same config.json with"
        " --model-config to judge it here"
    )
    return None


def fits(clusters: Sequence[InferenceCluster], given: ModelConfig | None) -> list[ModelFit]:
    """What is known of each resource's model; ends the program when the operator would refuse one because of it."""
    found = []
    refused = False
    for cluster in clusters:
        name = cluster.metadata.name
        try:
            found.append(model_fit(cluster, geometry(cluster), known_config(cluster, given, name)))
        except InvalidResource as error:
            refused = True
            for violation in error.violations:
                note(f"{name}: {violation}")
    if refused:
        raise typer.Exit(Exit.INVALID)
    return found


def memory_data(fit: ModelFit) -> dict[str, Any]:
    """The estimate for other programs, in bytes; without one, the reason."""
    memory = fit.memory
    if memory is None:
        return {"known": False, "why": fit.note}
    return {
        "known": True,
        "estimate": True,
        "verdict": memory.verdict.value,
        "device": memory.device,
        "budget": memory.budget,
        "sequenceTokens": memory.engine.length,
        "sequences": memory.engine.sequences,
        "fullSequences": memory.full_sequences,
        "stages": [
            {
                "stage": each.stage.number,
                "layers": len(each.stage.layers),
                "weights": each.weights,
                "activations": each.activations,
                "kvToken": each.kv_token,
                "kvSequence": memory.sequence_bytes(each),
                "kvWanted": memory.wanted_bytes(each),
                "kvRoom": memory.room_bytes(each),
            }
            for each in memory.stages
        ],
    }


def memory_table(console: Console, fit: ModelFit, *, devices: bool) -> None:
    """The estimate for people. ``devices``: ranks have some, whose memory could be told."""
    memory = fit.memory
    if memory is None:
        console.print(f"memory of a rank: not estimated: {fit.note}", markup=False)
        return
    length, wanted = memory.engine.length, memory.engine.sequences
    table = Table(
        "stage",
        "layers",
        "weights",
        "activations and runtime",
        f"KV cache of {wanted} x {length} tokens",
        "of 1 sequence",
        "room for KV cache",
        title="memory of a rank, by pipeline stage: estimates, not measured",
        title_justify="left",
    )
    for each in memory.stages:
        room = memory.room_bytes(each)
        sizes = (each.weights, each.activations, memory.wanted_bytes(each), memory.sequence_bytes(each))
        cells = (gib(size) for size in sizes)
        table.add_row(
            str(each.stage.number), str(len(each.stage.layers)), *cells, "unknown" if room is None else gib(room)
        )
    console.print(table)
    words = _sentence(memory) if devices else "no verdict: ranks run on the processor, which has no memory of a device"
    console.print(words, markup=False)


def _sentence(memory: MemoryFit) -> str:
    words = _WORDS[memory.verdict].format(
        wanted=memory.engine.sequences, length=memory.engine.length, fitting=memory.full_sequences
    )
    if memory.device is None:
        return words
    used = f"{gib(memory.budget or 0)}, {memory.engine.percent} % of a device of {gib(memory.device)}"
    return f"{words} ({used})"
