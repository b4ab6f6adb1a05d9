"""Accept or refuse: what the API server would say to a document, and then what the operator would."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trireme_operator.api import API_VERSION, KIND, InvalidResource, parse
from trireme_operator.api.crd import schema
from trireme_operator.offline import cel, decode, metadata
from trireme_operator.offline import schema as structure
from trireme_operator.offline.finding import BLOCKING, Finding, Rule
from trireme_operator.offline.old import NEW, Old


@dataclass(frozen=True)
class Verdict:
    """What is wrong with one document.

    ``complete`` is False when rules stayed unchecked because of what was found: mend that first, then look again.
    The API server takes a document with findings of the rule ``accepted`` only; the operator then refuses it in the
    condition ``Accepted``.
    """

    findings: tuple[Finding, ...]
    complete: bool = True

    @property
    def valid(self) -> bool:
        """Whether both the API server and the operator take the document."""
        return not self.findings

    @property
    def served(self) -> bool:
        """Whether the API server takes the document."""
        return all(finding.rule is Rule.ACCEPTED for finding in self.findings)


def judge(document: dict[str, Any], *, old: dict[str, Any] | None = None) -> Verdict:
    """The verdict on creating ``document``, or on updating ``old`` to it.

    Defaults, unknown fields, types and bounds, keys of lists and rules in CEL come in the order in which the API
    server has them, and each step is only reached when the server would reach it.
    """
    found = tuple(_identity(document))
    if found:
        return Verdict(found, complete=False)
    node = _schema()
    new, unknown = _read(document)
    if unknown:
        return Verdict(tuple(unknown), complete=False)
    before = NEW if old is None else Old(_read(old)[0])
    faults = [*metadata.findings(new.get("metadata") or {}), *structure.findings(new, node, "", before)]
    if not before.exists or not list(structure.duplicates(before.value, node, "")):
        faults += structure.duplicates(new, node, "")
    if any(finding.rule in BLOCKING for finding in faults):
        return Verdict(tuple(faults), complete=False)
    faults += cel.findings(new, node, "", before)
    found_at = {finding.path for finding in faults}
    return Verdict((*faults, *(finding for finding in _accepted(new) if finding.path not in found_at)))


def defaulted(document: dict[str, Any]) -> dict[str, Any]:
    """The document as the API server would store it: with defaults, without nulls."""
    return _read(document)[0]


@functools.cache
def _schema() -> dict[str, Any]:
    return schema()


def _identity(document: dict[str, Any]) -> Iterator[Finding]:
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if document.get(field) != wanted:
            yield Finding(field, Rule.IDENTITY, f"must be {wanted}", str(document.get(field)), wanted)


def _read(document: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """The document as the rules see it, and what makes it unreadable. The status is not the writer's to set."""
    node, new = _schema(), decode.normalize(document)
    decode.fill_defaults(new, node)
    unknown = list(metadata.malformed(new["metadata"])) if new.get("metadata") is not None else []
    unknown += decode.unknown_fields(new, node)
    decode.drop_nulls(new, node)
    new.pop("status", None)
    return new, unknown


def _accepted(document: dict[str, Any]) -> Iterator[Finding]:
    """The rules that no schema can hold, which the operator checks and reports in the condition ``Accepted``."""
    try:
        parse(document)
    except InvalidResource as refused:
        for violation in refused.violations:
            yield Finding(violation.path, Rule.ACCEPTED, violation.message)
