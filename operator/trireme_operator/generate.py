"""Writes what follows from the models: the CustomResourceDefinition and the API reference.

    python -m trireme_operator.generate            # write them
    python -m trireme_operator.generate --check    # fail when one of them is not up to date

Run in a checkout of the project; it is not part of the running operator.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from trireme_operator.api import ConditionType, Reason, WeightReason, crd
from trireme_operator.api.crd import schema

REPOSITORY = Path(__file__).parents[2]
TEMPLATES = Path(__file__).with_name("templates")
_NOTICE = "# Generated from the models in operator/trireme_operator/api by `make generate`. Do not edit.\n"


@dataclass(frozen=True)
class Row:
    """One field in the reference."""

    path: str
    type: str
    default: str
    bounds: str
    text: str


def outputs() -> dict[Path, str]:
    """Every generated file, by its path in the repository, with the text it should have."""
    return {
        Path("crds/trireme.dev_inferenceclusters.yaml"): _NOTICE + _yaml(crd()),
        Path("docs/reference.md"): reference(),
    }


def _yaml(document: dict[str, Any]) -> str:
    """The emitter in C writes the same, six times as fast."""
    text: str = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, width=120)
    return text


def reference() -> str:
    """The API reference, in Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (Markdown, from texts of our own)
    )
    root = schema()
    return environment.get_template("reference.md.j2").render(
        spec=list(rows(root["properties"]["spec"], "spec")),
        status=list(rows(root["properties"]["status"], "status")),
        rules=list(_rules(root, "")),
        conditions=_documented(ConditionType),
        reasons=_documented(Reason),
        weight_reasons=_documented(WeightReason),
    )


def rows(node: dict[str, Any], path: str) -> Iterator[Row]:
    """Every field below a node of the schema, parents before children."""
    required = set(node.get("required", ()))
    for name, child in node.get("properties", {}).items():
        below = f"{path}.{name}"
        yield Row(below, _type(child), _default(child, required=name in required), _bounds(child), _text(child))
        item = child.get("items", child)
        yield from rows(item, below + ("[]" if "items" in child else ""))


def _type(node: dict[str, Any]) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    return f"list of {_type(node['items'])}" if "items" in node else str(node["type"])


def _default(node: dict[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    default = node.get("default")
    if default is None or default == {}:
        return ""
    return f"`{yaml.safe_dump(default, default_flow_style=True).splitlines()[0]}`"


def _bounds(node: dict[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None or high is not None:
        return f"{'' if low is None else low} to {high}" if high is not None else f">= {low}"
    if "maxItems" in node:
        return f"{node.get('minItems', 0)} to {node['maxItems']} items"
    return f"<= {node['maxLength']} characters" if "maxLength" in node and node.get("type") == "string" else ""


def _text(node: dict[str, Any]) -> str:
    return str(node.get("description", "")).replace("|", "\\|")


def _rules(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield path or "metadata.name", str(rule["message"]).replace("|", "\\|")
    for name, child in node.get("properties", {}).items():
        yield from _rules(child, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from _rules(node["items"], f"{path}[]")


def _documented(kinds: type[ConditionType | Reason | WeightReason]) -> list[tuple[str, str]]:
    """The members of an enumeration with the text below each, which Python itself does not keep."""
    source = ast.parse(textwrap.dedent(inspect.getsource(kinds)))
    texts: list[str] = [
        " ".join(statement.value.value.split())
        for definition in source.body
        if isinstance(definition, ast.ClassDef)
        for statement in definition.body[1:]
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    ]
    return list(zip((kind.value for kind in kinds), texts, strict=True))


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with ``--check`` compare them; 1 when one is not up to date, 2 for a wrong argument."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write(f"generate: {' '.join(arguments)}: expected nothing or --check\n")
        return 2
    stale = {path: text for path, text in outputs().items() if not _is(REPOSITORY / path, text)}
    if not arguments:
        for path, text in stale.items():
            (REPOSITORY / path).parent.mkdir(parents=True, exist_ok=True)
            (REPOSITORY / path).write_text(text)
            sys.stdout.write(f"wrote {path}\n")
        return 0
    for path in stale:
        sys.stderr.write(f"{path} is not up to date: run `make generate` and commit it\n")
    return 1 if stale else 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
