"""How many bytes the weights of linear layers take in the quantization formats that a model's config.json can name.

Sources: the files of vllm/model_executor/layers/quantization in vLLM 0.32.0 (fp8.py, auto_awq.py, auto_gptq.py,
modelopt.py, mxfp4.py, bitsandbytes.py, compressed_tensors/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_BYTE: Final = 8
_FOUR_BITS: Final = 4


class UnknownQuantizationError(ValueError):
    """Nothing is known here of the size of weights in this format; the message names it."""


@dataclass(frozen=True)
class Quantization:
    """A format: bits of a weight, and of the scale and zero point that a group of weights shares (group 0: too few
    to count).

    ``block`` is the rows and columns that share a scale where a rank must hold whole blocks.
    """

    method: str
    bits: int
    group: int = 0
    group_bits: int = 0
    block: tuple[int, int] | None = None

    def size(self, weights: int) -> int:
        """Bytes of this many weights with their scales."""
        scales = weights * self.group_bits // self.group // _BYTE if self.group else 0
        return -(-weights * self.bits // _BYTE) + scales


FP8: Final = Quantization("fp8", 8)
_FIXED: Final = {
    "fbgemm_fp8": Quantization("fbgemm_fp8", 8),
    "mxfp4": Quantization("mxfp4", 4, group=32, group_bits=8),
}
"""Formats without parameters of their own."""


def read_quantization(config: Mapping[str, Any]) -> Quantization:
    """The format that ``quantization_config`` of a config.json describes.

    Raises:
        UnknownQuantizationError: its method, or its number of bits, is not known here.

    """
    method = str(config.get("quant_method") or "").lower()
    if method in _FIXED:
        return _FIXED[method]
    match method:
        case "fp8":
            block = _block(config.get("weight_block_size"))
            return Quantization(method, 8, group=block[0] * block[1], group_bits=32, block=block) if block else FP8
        case "awq" | "gptq":
            bits = _whole(config, "bits", method)
            return _grouped(method, bits, config.get("group_size"), 16 + bits)
        case "bitsandbytes":
            four = config.get("load_in_4bit") or config.get("_load_in_4bit")
            return Quantization(method, 4, group=64, group_bits=32) if four else Quantization(method, 8)
        case "modelopt" | "modelopt_fp4":
            return _modelopt(config)
        case "compressed-tensors":
            return _compressed_tensors(config)
    raise UnknownQuantizationError(f"quantization {method or 'without quant_method'}")


def _modelopt(config: Mapping[str, Any]) -> Quantization:
    nested = config.get("quantization")
    algorithm = str((nested if isinstance(nested, Mapping) else config).get("quant_algo") or "").upper()
    if algorithm == "FP8":
        return Quantization("modelopt", 8)
    if algorithm == "NVFP4":
        return Quantization("modelopt", 4, group=16, group_bits=8)
    raise UnknownQuantizationError(f"quantization modelopt with quant_algo {algorithm or 'absent'}")


def _compressed_tensors(config: Mapping[str, Any]) -> Quantization:
    """The widest of its groups: layers in a narrower one are then counted too high, never too low."""
    groups = config.get("config_groups")
    found = []
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping):
            bits = _whole(weights, "num_bits", "compressed-tensors")
            found.append(_grouped("compressed-tensors", bits, weights.get("group_size"), 16))
    if not found:
        raise UnknownQuantizationError("quantization compressed-tensors without config_groups")
    return max(found, key=lambda each: each.bits)


def _grouped(method: str, bits: int, group: object, group_bits: int) -> Quantization:
    """A group size of -1, or none, is one group a row: too few to count."""
    if isinstance(group, int) and not isinstance(group, bool) and group > 0:
        return Quantization(method, bits, group=group, group_bits=group_bits)
    return Quantization(method, bits)


def _whole(config: Mapping[str, Any], name: str, method: str) -> int:
    value = config.get(name, _FOUR_BITS if name == "bits" and method == "awq" else None)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 2 * _BYTE:
        return value
    raise UnknownQuantizationError(f"quantization {method} with {name} {value!r}")


def _block(value: object) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, int) and each > 0 for each in value):  # noqa: PLR2004
        return value[0], value[1]
    return None
