"""Reading YAML and JSON files as ``kubectl`` reads them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from trireme_operator.api import GROUP, KIND

STDIN: Final = "-"


class UnreadableError(Exception):
    """A file can't be read as documents; the message names the file and the place."""


@dataclass(frozen=True)
class Document:
    """One InferenceCluster and where it was found; ``number`` counts the documents of the file from 1."""

    file: str
    number: int
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """The resource's name, as far as it has one."""
        metadata = self.body.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) and name else f"document {self.number}"

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


@dataclass(frozen=True)
class Read:
    """What was found in files: resources, and a note for each document that is something else."""

    documents: tuple[Document, ...]
    notes: tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """YAML as ``kubectl`` takes it: no dates, no numbers to the base of 60, 1e3 is a number, and no key twice."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in {"timestamp", "int", "float"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+|0b[01]+|0[0-7]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
            line = key.start_mark.line + 1
            raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is there twice (line {line})")
        seen.add(key.value)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True) for key, value in node.value
    }


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read(files: Sequence[str]) -> Read:
    """Every InferenceCluster in the files, in their order; ``-`` is standard input. A List is read as its items.

    Raises:
        UnreadableError: a file is missing, no YAML, or holds what is no Kubernetes object.

    """
    documents: list[Document] = []
    notes: list[str] = []
    for file in files:
        shown = "standard input" if file == STDIN else file
        for number, body in enumerate(_bodies(file, shown), start=1):
            if not isinstance(body, dict):
                raise UnreadableError(f"{shown}: document {number} is no object: write one with apiVersion and kind")
            if body.get("kind") == KIND and str(body.get("apiVersion")).partition("/")[0] == GROUP:
                documents.append(Document(shown, number, body))
            else:
                kind = body.get("kind") or "without a kind"
                notes.append(f"{shown}: document {number} ({kind}) is no {KIND} of {GROUP}: skipped")
    return Read(tuple(documents), tuple(notes))


def _bodies(file: str, shown: str) -> Iterator[Any]:
    try:
        text = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
        bodies = [body for body in yaml.load_all(text, Loader=_Loader) if body is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{shown}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableError(f"{shown}: no YAML: {' '.join(str(error).split())}") from None
    for body in bodies:
        if isinstance(body, dict) and body.get("kind") == "List" and isinstance(body.get("items"), list):
            yield from body["items"]
        else:
            yield body
