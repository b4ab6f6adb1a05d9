"""The rules of ``spec.parallelism`` and ``spec.accelerator.perPod``; docs/adr/0007-parallelism.md has their reasons."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.rule import Rule

_TENSOR, _PIPELINE = "self.parallelism.tensor", "self.parallelism.pipeline"
_DATA = "(has(self.parallelism.data) ? self.parallelism.data : 1)"
_REPLICA = f"({_TENSOR} * {_PIPELINE})"
RANKS: Final = f"({_TENSOR} * {_PIPELINE} * {_DATA})"
"""CEL for the ranks of a group, at ``spec``."""

_GIVEN = "self.accelerator.perPod"
PER_POD: Final = f"(has({_GIVEN}) ? {_GIVEN} : {_TENSOR})"
_BALANCING = "self.parallelism.loadBalancing"
_DIGITS: Final = {"perPod": 2, "tensor": 3, "pipeline": 3, "data": 3, "replica": 5, "halves": 6, "ranks": 7}


def _text(number: str, digits: int) -> str:
    """CEL for a number below 10^digits as text: cut from a constant, so that the server's estimate sees its end."""
    pieces = []
    for place in reversed(range(digits)):
        power = 10**place
        digit = f"{number} / {power} % 10" if power > 1 else f"{number} % 10"
        piece = f"'0123456789'.substring({digit}, {digit} + 1)"
        pieces.append(f"({number} >= {power} ? {piece} : '')" if power > 1 else piece)
    return " + ".join(pieces)


def _product() -> str:
    """CEL for the sizes and their product, such as "tensor 8 x pipeline 2 = 16 ranks"."""
    data = f"({_DATA} > 1 ? ' x data ' + {_text(_DATA, _DIGITS['data'])} : '')"
    return (
        f"'tensor ' + {_text(_TENSOR, _DIGITS['tensor'])} + ' x pipeline ' + {_text(_PIPELINE, _DIGITS['pipeline'])}"
        f" + {data} + ' = ' + {_text(RANKS, _DIGITS['ranks'])} + ' ranks'"
    )


def _per_pod_is() -> str:
    """CEL for the end of a message: what stands there, and its default where nothing does."""
    given = f"'; perPod is ' + {_text(_GIVEN, _DIGITS['perPod'])}"
    return f"(has({_GIVEN}) ? {given} : '; perPod is absent, which means ' + {_text(_TENSOR, _DIGITS['tensor'])})"


def _whole_stages() -> str:
    """CEL for shapes that fit: a pod for each stage, for each half of a stage, for each replica."""
    stages, halves = f"({_PIPELINE} * {_DATA})", f"({_PIPELINE} * {_DATA} * 2)"
    return (
        f"{_text(stages, _DIGITS['replica'])} + ({stages} > 1 ? ' pods of ' : ' pod of ')"
        f" + {_text(_TENSOR, _DIGITS['tensor'])}"
        f" + ({_TENSOR} % 2 == 0 ? ', or ' + {_text(halves, _DIGITS['halves'])} + ' of '"
        f" + {_text(f'({_TENSOR} / 2)', _DIGITS['perPod'])} : '')"
        f" + ({_PIPELINE} > 1 && {_REPLICA} <= 64 ? ', or ' + {_text(_DATA, _DIGITS['data'])} + ' of '"
        f" + {_text(_REPLICA, _DIGITS['perPod'])} : '')"
    )


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        where="spec",
        rule=(
            f"!has({_GIVEN}) || {_TENSOR} % {_GIVEN} == 0"
            f" || ({_GIVEN} % {_TENSOR} == 0 && {_REPLICA} % {_GIVEN} == 0)"
            f" || ({_GIVEN} % {_REPLICA} == 0 && {RANKS} % {_GIVEN} == 0)"
        ),
        message=(
            "accelerator.perPod must divide parallelism.tensor, or be whole pipeline stages that divide tensor x"
            " pipeline, or be whole replicas that divide tensor x pipeline x data: 8 x 2 = 16 ranks fit into pods of 1,"
            " 2, 4, 8 or 16"
        ),
        message_expression=f"{_product()} + ' need ' + {_whole_stages()} + {_per_pod_is()}",
        field=".accelerator.perPod",
    ),
    Rule(
        where="spec",
        rule=f"!has({_BALANCING}) || {_DATA} > 1",
        message=(
            "parallelism.loadBalancing has no effect with parallelism.data 1: remove it, or set data to the number of"
            " replicas in a group"
        ),
        field=".parallelism.loadBalancing",
    ),
    Rule(
        where="spec",
        rule=(f"!has({_BALANCING}) || {_BALANCING} != 'External' || {_DATA} == 1 || {PER_POD} == {_REPLICA}"),
        message=(
            "External load balancing wants one replica in each pod: set accelerator.perPod to parallelism.tensor x"
            " parallelism.pipeline, or choose Internal or Hybrid"
        ),
        message_expression=(
            f"'External wants one replica of tensor x pipeline = ' + {_text(_REPLICA, _DIGITS['replica'])}"
            f" + ' ranks in each pod' + {_per_pod_is()} + ': change perPod, or choose Internal or Hybrid'"
        ),
        field=".parallelism.loadBalancing",
    ),
    Rule(
        where="spec",
        rule=(
            f"!has({_BALANCING}) || {_BALANCING} != 'Hybrid' || {_DATA} == 1"
            f" || ({PER_POD} % {_REPLICA} == 0 && {PER_POD} > {_REPLICA} && {PER_POD} < {RANKS})"
        ),
        message=(
            "Hybrid load balancing wants two or more replicas in each of several pods: set accelerator.perPod to a"
            " multiple of parallelism.tensor x parallelism.pipeline below that x data, or choose External (one replica"
            " a pod) or Internal"
        ),
        message_expression=(
            f"'Hybrid wants 2 or more replicas of tensor x pipeline = ' + {_text(_REPLICA, _DIGITS['replica'])}"
            f" + ' ranks in each of several pods; ' + {_product()} + {_per_pod_is()}"
            " + ': change perPod, or choose External (one replica a pod) or Internal'"
        ),
        field=".parallelism.loadBalancing",
    ),
    Rule(
        where="spec",
        rule=f"!has(self.parallelism.expert) || !self.parallelism.expert || {_TENSOR} > 1 || {_DATA} > 1",
        message=(
            "parallelism.expert spreads experts over tensor x data ranks, and both are 1: raise one of them or remove"
            " expert"
        ),
        field=".parallelism.expert",
    ),
)
