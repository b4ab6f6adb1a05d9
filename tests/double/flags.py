"""``vllm serve``'s command line, as the real parser describes itself in ``flags-*.json``."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SNAPSHOT = Path(__file__).with_name("flags-0.32.0.json")
_HUMAN = re.compile(r"(\d+)([kKmMgGtT]?)")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_NUMBERS: dict[str, Callable[[str], object]] = {"int": int, "float": float}
_DEFAULT_MAX_MODEL_LEN = 8192
_DEFAULT_MAX_NUM_SEQS = 256


@dataclass(frozen=True)
class Settings:
    """What the double acts on; every other flag is only checked."""

    model: str
    served_names: tuple[str, ...]
    host: str | None
    port: int
    nnodes: int
    node_rank: int
    master_addr: str
    master_port: int
    headless: bool
    tensor_parallel_size: int
    pipeline_parallel_size: int
    data_parallel_size: int
    max_model_len: int
    max_num_seqs: int
    join_timeout_seconds: float
    shutdown_timeout_seconds: float
    api_keys: tuple[str, ...]


def parse(argv: Sequence[str]) -> Settings:
    """Settings from ``serve MODEL [flags]``; argparse ends the process with code 2 as it does in vLLM."""
    parser = _parser()
    if not argv or argv[0] != "serve":
        parser.error("the double knows the command serve only")
    values = vars(parser.parse_args(_normalized(argv[1:], parser)))
    model = values.get("model_tag") or values.get("model")
    if not model:
        parser.error("a model is needed: vllm serve MODEL")
    settings = Settings(
        model=model,
        served_names=tuple(values.get("served_model_name") or [model]),
        host=values.get("host"),
        port=_integer(values, "port", 8000),
        **_group(values, parser),
        headless=bool(values.get("headless")),
        tensor_parallel_size=_integer(values, "tensor_parallel_size", 1),
        pipeline_parallel_size=_integer(values, "pipeline_parallel_size", 1),
        data_parallel_size=_integer(values, "data_parallel_size", 1),
        max_model_len=_integer(values, "max_model_len", _DEFAULT_MAX_MODEL_LEN),
        max_num_seqs=_integer(values, "max_num_seqs", _DEFAULT_MAX_NUM_SEQS),
        join_timeout_seconds=_integer(values, "distributed_timeout_seconds", 1800),
        shutdown_timeout_seconds=_integer(values, "shutdown_timeout", 0),
        api_keys=tuple(values.get("api_key") or ()),
    )
    _check(settings, parser)
    return settings


def _group(values: dict[str, Any], parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Where this process stands in its group: a node of one world, or one of the places where replicas run."""
    nnodes, size = _integer(values, "nnodes", 1), _integer(values, "data_parallel_size", 1)
    headless = bool(values.get("headless"))
    if nnodes > 1 or values.get("data_parallel_address") is None:
        node_rank = _integer(values, "node_rank", 0)
        if node_rank and not headless:
            parser.exit(1, "collective_rpc should not be called on follower node\n")
        address, port = values.get("master_addr") or "127.0.0.1", _integer(values, "master_port", 29501)
        return {"nnodes": nnodes, "node_rank": node_rank, "master_addr": address, "master_port": port}
    external = values.get("data_parallel_rank") is not None
    local = 1 if external else _integer(values, "data_parallel_size_local", size)
    first = _integer(values, "data_parallel_rank" if external else "data_parallel_start_rank", 0)
    hybrid = bool(values.get("data_parallel_hybrid_lb"))
    if headless and (external or hybrid):
        parser.exit(1, f"Remote engine {first} must not use --headless in external or hybrid dp lb mode\n")
    if first and not (headless or external or hybrid):
        parser.exit(1, f"Remote engine {first} must use --headless unless in external or hybrid dp lb mode\n")
    address, port = values["data_parallel_address"], _integer(values, "data_parallel_rpc_port", 29550)
    return {"nnodes": size // local, "node_rank": first // local, "master_addr": address, "master_port": port}


def _check(settings: Settings, parser: argparse.ArgumentParser) -> None:
    world = settings.tensor_parallel_size * settings.pipeline_parallel_size * settings.data_parallel_size
    if world % settings.nnodes:
        parser.exit(1, f"nnodes {settings.nnodes} does not divide the world size {world}\n")
    if settings.node_rank >= settings.nnodes:
        parser.exit(1, f"node_rank {settings.node_rank} is not below nnodes {settings.nnodes}\n")


def _integer(values: dict[str, Any], name: str, default: int) -> int:
    text = values.get(name)
    return default if text is None else _human(text)


def _human(text: str) -> int:
    match = _HUMAN.fullmatch(text)
    if match is None:
        return _DEFAULT_MAX_MODEL_LEN  # "auto" and -1: the model's own length
    return int(match[1]) * _UNITS[match[2]]


def given(argv: Sequence[str], snapshot: Path) -> dict[str, Any]:
    """What the version of vLLM with this snapshot reads from ``serve MODEL [flags]``: texts, lists, true and false.

    Only of flags that are there; argparse ends the process with code 2 as it does in vLLM.
    """
    parser = _parser(snapshot, default=argparse.SUPPRESS)
    return vars(parser.parse_args(_normalized(argv[1:], parser)))


@cache
def _parser(snapshot: Path = SNAPSHOT, default: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vllm serve", usage="vllm serve [model_tag] [options]", add_help=False, argument_default=default
    )
    for flag in json.loads(snapshot.read_text())["flags"]:
        _add(parser, flag)
    return parser


def _add(parser: argparse.ArgumentParser, flag: dict[str, Any]) -> None:
    options = flag["options"]
    if flag["kind"] == "_HelpAction":
        parser.add_argument(*options, action="help")
    elif not options:
        parser.add_argument(flag["dest"], nargs=flag["nargs"])
    elif flag["kind"] in {"BooleanOptionalAction", "EnableDisableAction"}:
        inverse = [option for index, option in enumerate(options) if _inverse(option) in options[:index]]
        positive = [option for option in options if not option.startswith("--no-") and option not in inverse]
        parser.add_argument(*positive, dest=flag["dest"], action=argparse.BooleanOptionalAction)
        if inverse:
            parser.add_argument(*inverse, dest=flag["dest"], action="store_false")
    elif flag["nargs"] == 0:
        parser.add_argument(*options, dest=flag["dest"], action="store_true")
    else:
        action = "append" if flag["kind"] == "_AppendAction" else "store"
        checker = _checker(flag["type"])
        parser.add_argument(*options, dest=flag["dest"], nargs=flag["nargs"], action=action, type=checker)
        parser._option_string_actions[options[0]].choices = flag["choices"]


def _inverse(option: str) -> str:
    """Since 0.33, --disable-x stands beside --enable-x and the other way round."""
    pairs = {"--enable-": "--disable-", "--disable-": "--enable-"}
    prefix = next((prefix for prefix in pairs if option.startswith(prefix)), "")
    return pairs[prefix] + option.removeprefix(prefix) if prefix else ""


def _checker(type_name: str | None) -> Any:
    """Refuses what the real type refuses, and keeps the text."""
    optional, _, name = (type_name or "").rpartition(" ")
    if name not in _NUMBERS:
        return str

    def check(text: str) -> str:
        if not (optional and text in {"", "None"}):
            _NUMBERS[name](text)
        return text

    check.__name__ = name
    return check


def _normalized(argv: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Underscores in names become dashes; ``--flag.key value`` is checked for its flag and dropped."""
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            name = name.replace("_", "-")
        base, dot, _ = name.partition(".")
        if word.startswith("-") and dot and base.lstrip("-"):
            if base not in parser._option_string_actions:
                parser.error(f"unrecognized arguments: {word}")
            if not equals and rest:
                rest.pop(0)
            continue
        words.append(f"{name}{equals}{value}" if word.startswith("--") else word)
    return words
