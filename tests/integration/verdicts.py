"""The verdict of a real API server, in the words of the offline check."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.integration.server import Hands
from trireme_operator.kube import INFERENCE_CLUSTER
from trireme_operator.offline import Finding, Rule, Verdict

NOT_CHECKED = "some validation rules were not checked because the object was invalid"

_BY_REASON = {
    "FieldValueRequired": Rule.REQUIRED,
    "FieldValueNotSupported": Rule.ENUM,
    "FieldValueTooLong": Rule.MAX_LENGTH,
    "FieldValueTooMany": Rule.MAX_ITEMS,
    "FieldValueTypeInvalid": Rule.TYPE,
    "FieldValueDuplicate": Rule.DUPLICATE,
}
_BY_TEXT = {
    r" in body should be at least \d+ chars long$": Rule.MIN_LENGTH,
    r" in body should match '": Rule.PATTERN,
    r" in body should be greater than or equal to \S+$": Rule.MINIMUM,
    r" in body should be less than or equal to \S+$": Rule.MAXIMUM,
    r" in body should have at least \d+ items$": Rule.MIN_ITEMS,
    r"must be an object for an array of list-type map$": Rule.DUPLICATE,
}
_FAILED = re.compile(r"(?: evaluating rule|signature for rule): (.*)$", re.DOTALL)
"""A rule that could not be evaluated, with its message; why is said in each evaluator's own words."""
_RANGE = re.compile(r"Checked value must be of type integer with format int32 in (\S+)$")


@dataclass(frozen=True)
class Said:
    """Accepted or not, whether every rule was checked, and each broken rule: its path, its name or a CEL's message."""

    accepted: bool
    complete: bool
    broken: frozenset[tuple[str, str]]


def of_offline(verdict: Verdict) -> Said:
    """What the offline check says. Metadata of a wrong type ends the server's reading at the first such field."""
    found = [finding for finding in verdict.findings if finding.rule is not Rule.ACCEPTED]
    unreadable = [finding for finding in found if finding.rule is Rule.TYPE and finding.path.startswith("metadata")]
    told = unreadable[:1] or found
    return Said(not found, verdict.complete, frozenset((finding.path, _key(finding)) for finding in told))


async def of_server(hands: Hands, namespace: str, document: dict[str, Any], offline: Iterable[Finding]) -> Said:
    """What the server says to creating the document. CEL messages are told from values by those of ``offline``."""
    path = INFERENCE_CLUSTER.path(namespace)
    query = {"fieldValidation": "Strict", "dryRun": "All"}
    status, _, raw = await hands.api._request("POST", path, query=query, body=document, content_type="application/json")
    answer = json.loads(raw)
    if status in {200, 201}:
        return Said(accepted=True, complete=True, broken=frozenset())
    if status == 400:
        return Said(accepted=False, complete=False, broken=frozenset(_unreadable(answer["message"])))
    assert status == 422, answer
    causes = answer["details"]["causes"]
    complete = not any(NOT_CHECKED in cause["message"] for cause in causes)
    messages = {_key(finding) for finding in offline if finding.rule is Rule.CEL}
    broken = {_broken(cause, messages) for cause in causes if NOT_CHECKED not in cause["message"]}
    return Said(accepted=False, complete=complete, broken=frozenset(broken))


def _key(finding: Finding) -> str:
    if finding.rule is not Rule.CEL:
        return str(finding.rule)
    failed = _FAILED.search(finding.message)
    return f"cel fails: {failed[1]}" if failed else f"cel: {finding.message}"


def _unreadable(message: str) -> set[tuple[str, str]]:
    """Unknown fields by their paths; other reasons why a document can't be read have a text only."""
    found = {(path, str(Rule.UNKNOWN_FIELD)) for path in re.findall(r'unknown field "([^"]*)"', message)}
    for path in re.findall(r"cannot unmarshal \S+ into Go struct field ObjectMeta\.(\S+) of type", message):
        found.add(("metadata." + path.removeprefix("metadata."), str(Rule.TYPE)))
    if re.search(r"cannot unmarshal \S+ into Go value of type v1\.ObjectMeta", message):
        found.add(("metadata", str(Rule.TYPE)))
    return found or {("", message)}


def _broken(cause: dict[str, str], messages: set[str]) -> tuple[str, str]:
    field, message = cause["field"].replace("<nil>", ""), cause["message"]
    if out_of_range := _RANGE.search(message):
        return out_of_range[1], str(Rule.FORMAT)
    keyword = _BY_REASON.get(cause["reason"]) or next(
        (rule for pattern, rule in _BY_TEXT.items() if re.search(pattern, message)), None
    )
    return field, str(keyword) if keyword else _rule(field, message, messages)


def _rule(field: str, message: str, messages: set[str]) -> str:
    """A rule in CEL by its message, in front of which the server sets the value; else a name's own rule."""
    if failed := _FAILED.search(message):
        return f"cel fails: {failed[1]}"
    for key in sorted(messages, key=len, reverse=True):
        if message.endswith(": " + key.removeprefix("cel: ")):
            return key
    return str(Rule.NAME) if field.startswith("metadata.") else f"cel: {message}"
