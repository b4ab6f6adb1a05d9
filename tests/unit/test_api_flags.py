"""No spelling that vLLM's own parser takes gets an owned flag past the rule, and no other flag is refused.

The parser is argparse with every option of ``vllm serve`` of each supported version (``tests/engine_options``).
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from trireme_operator.api.flags import LONG, SHORT
from trireme_operator.api.rules import RULES

FLAGS = {
    path.stem: json.loads(path.read_text())["flags"]
    for path in sorted((Path(__file__).parents[1] / "engine_options").glob("*.json"))
}
OWNED = {version: [flag for flag in flags if set(flag["options"]) & set(LONG)] for version, flags in FLAGS.items()}
SPELLINGS = [(version, option) for version, owned in OWNED.items() for flag in owned for option in flag["options"]]


def refused(word: str) -> bool:
    """The rule on extraArgs, in Python; that the rule is these two lines of CEL is asserted below."""
    name = word.split("=", maxsplit=1)[0].split(".", maxsplit=1)[0].replace("_", "-")
    return (word.startswith("--") and any(flag.startswith(name) for flag in LONG)) or bool(re.search(SHORT, word))


class RefusedError(Exception):
    pass


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RefusedError(message)


@cache
def parser(version: str) -> Parser:
    built = Parser(add_help=False)
    for flag in FLAGS[version]:
        if flag["options"]:
            built.add_argument(*flag["options"], dest=flag["dest"], nargs="?")
    return built


@cache
def resolved(word: str, version: str) -> frozenset[str]:
    """Destinations that the parser sets when it reads the word and a value; empty when it refuses them."""
    try:
        values, _ = parser(version).parse_known_args([word, "1"])
    except RefusedError:
        return frozenset()
    return frozenset(name for name, value in vars(values).items() if value is not None)


def prefixes(option: str) -> Iterator[str]:
    shortest = 3 if option.startswith("--") else 2
    yield from (option[:length] for length in range(shortest, len(option) + 1))


def test_the_rule_is_the_one_that_these_tests_speak_of() -> None:
    rule = next(rule.rule for rule in RULES if rule.where == "spec.engine.extraArgs" and "exists" in rule.rule)
    names = ", ".join(f"'{flag}'" for flag in LONG)
    long = f"(a.startsWith('--') && [{names}].exists(f, f.startsWith(a.split('=')[0].split('.')[0].replace('_', '-'))))"
    assert rule == f"!self.exists(a, ({long} || a.matches('{SHORT}')))"


def test_every_owned_flag_is_one_that_the_engine_has() -> None:
    assert set(LONG) <= {option for flags in FLAGS.values() for flag in flags for option in flag["options"]}


@pytest.mark.parametrize(("version", "option"), SPELLINGS)
def test_a_name_its_prefixes_and_its_underscores_are_refused(version: str, option: str) -> None:
    for prefix in prefixes(option):
        for word in (prefix, f"{prefix}=1", "--" + prefix[2:].replace("-", "_") if prefix.startswith("--") else prefix):
            if resolved(word.replace("_", "-"), version) & {flag["dest"] for flag in OWNED[version]}:
                assert refused(word), word
    assert refused(option)
    assert refused(f"{option}=1")
    assert refused(f"{option}.key")


@pytest.mark.parametrize(
    "word", ["-n2", "-r1", "-q", "-qfp8", "-n=2", "-tp=2", "-t", "-pp", "-dpl", "--", "--tensor_parallel_size", "--c"]
)
def test_other_spellings_of_owned_flags_are_refused(word: str) -> None:
    assert refused(word)


@pytest.mark.parametrize(
    "word", ["2", "-1", "-0.5", "/path", "--max-lora-rank", "-cc.mode=2", "-O3", "-dcp", "--enable-eplb"]
)
def test_values_and_other_flags_are_taken(word: str) -> None:
    assert not refused(word)


@pytest.mark.parametrize("version", FLAGS)
def test_no_flag_is_refused_that_nobody_owns(version: str) -> None:
    free = {option for flag in FLAGS[version] if flag not in OWNED[version] for option in flag["options"]}
    assert [option for option in sorted(free) if refused(option)] == []
