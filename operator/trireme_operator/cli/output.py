"""What the commands have in common: formats, exit codes, and the way to standard output and standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import Any, NoReturn

import typer
import yaml
from rich.console import Console

from trireme_operator.api import KIND, InferenceCluster, parse
from trireme_operator.cli.documents import Document, UnreadableError, read
from trireme_operator.offline import Verdict, judge
from trireme_operator.offline.verdict import defaulted


class Exit(IntEnum):
    """Exit codes of every command."""

    VALID = 0
    """Everything asked for was done; every resource is valid."""

    INVALID = 1
    """At least one resource would be refused."""

    USAGE = 2
    """The command line or a file can't be read, or no resource is in it."""

    CLUSTER = 3
    """The API server gave no answer, refused the request, or does not have what was asked for."""


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (objects that are shared are written out each time)
        return True


def out() -> Console:
    """Standard output; not cut to the width of a terminal when there is none."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=False)


def note(text: str) -> None:
    """A remark for people, on standard error, so that output stays readable for programs."""
    sys.stderr.write(f"{text}\n")


def fail(text: str, code: Exit = Exit.USAGE) -> NoReturn:
    """End the program with a message."""
    note(f"trireme: {text}")
    raise typer.Exit(code)


def write(data: Sequence[Any], form: Format) -> None:
    """Data for programs: one JSON list, or one YAML document an item."""
    if form is Format.JSON:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(to_yaml(data))


def to_yaml(documents: Sequence[Any]) -> str:
    """Documents of one YAML stream."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def resources(files: Sequence[str]) -> tuple[Document, ...]:
    """The resources of the files; ends the program when there is none or a file can't be read."""
    try:
        found = read(files)
    except UnreadableError as error:
        fail(str(error))
    for text in found.notes:
        note(text)
    if not found.documents:
        fail(f"no {KIND} in {', '.join(files)}")
    return found.documents


def valid(files: Sequence[str], *, namespace: str | None) -> list[InferenceCluster]:
    """The resources, read as the operator reads them from the API server; ends the program when one is invalid."""
    documents = resources(files)
    verdicts = [(document, judge(document.body)) for document in documents]
    for document, verdict in verdicts:
        for line in lines(document, verdict):
            note(line)
    if not all(verdict.valid for _, verdict in verdicts):
        raise typer.Exit(Exit.INVALID)
    return [parse(placed(defaulted(document.body), namespace)) for document in documents]


def lines(document: Document, verdict: Verdict) -> list[str]:
    """A verdict as plain lines: where, what stands there, what to do; empty for a valid resource."""
    found = [
        f"{document}: {finding.path or KIND}: {finding.value + ': ' if finding.value else ''}{finding.message}"
        for finding in verdict.findings
    ]
    if not verdict.complete:
        found.append(f"{document}: more rules are checked when these are mended")
    return found


def placed(body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
    """A document in a namespace: the one given, else its own, else `default`."""
    metadata = {"namespace": "default", **body["metadata"]} | ({"namespace": namespace} if namespace else {})
    return {**body, "metadata": metadata}
