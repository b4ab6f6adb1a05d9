"""The offline check: each rule broken once, decoding, ratcheting, transitions, and what the evaluator must do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import cel
import pytest
import yaml

from tests.rule_cases import BROKEN, BROKEN_UPDATES, GOOD_UPDATES, SERVICE_UPDATES, TRANSITIONS, UPDATES, broken
from tests.rule_cases_model import GOOD as GOOD_MODEL
from tests.rule_cases_network import GOOD as GOOD_NETWORK
from tests.rule_cases_preflight import GOOD as GOOD_PREFLIGHT
from tests.rule_cases_traffic import GOOD as GOOD_TRAFFIC
from tests.unit.resources import raw
from trireme_operator import generate
from trireme_operator.api.crd import schema
from trireme_operator.api.rules import RULES
from trireme_operator.offline import Finding, Rule, judge
from trireme_operator.offline import cel as rules
from trireme_operator.offline.decode import drop_nulls, fill_defaults, normalize
from trireme_operator.offline.old import NEW, Old
from trireme_operator.offline.schema import duplicates, findings

SAMPLES = sorted((generate.REPOSITORY / "samples").glob("*.yaml"))


def said(document: dict[str, Any], **kwargs: Any) -> set[tuple[str, str]]:
    return {(finding.path, str(finding.rule)) for finding in judge(document, **kwargs).findings}


def test_every_rule_has_a_resource_that_breaks_it() -> None:
    found = {finding.text for where, spec in BROKEN for finding in judge(broken(where, spec, namespace="a")).findings}
    for old, new, _ in SERVICE_UPDATES:
        found |= {finding.text for finding in judge(raw(service=new), old=raw(service=old)).findings}
    for where, old, new in BROKEN_UPDATES:
        before = broken(where, old, namespace="a")
        found |= {finding.text for finding in judge(broken(where, new, namespace="a"), old=before).findings}
    assert {rule.rule for rule in RULES} <= found


@pytest.mark.parametrize(("old", "new"), GOOD_UPDATES, ids=str)
def test_a_good_update_breaks_no_rule(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = (broken("spec", spec, namespace="a") for spec in (old, new))
    assert judge(before).findings == ()
    assert judge(after, old=before).findings == ()


@pytest.mark.parametrize(("where", "spec"), BROKEN, ids=str)
def test_a_broken_rule_is_found_at_its_field(where: str, spec: dict[str, Any]) -> None:
    found = judge(broken(where, spec, namespace="a"))
    wanted = {rule.rule: rule for rule in RULES if rule.where == where}
    hits = [finding for finding in found.findings if finding.text in wanted]
    assert hits
    for finding in hits:
        path = re.sub(r"\[\d+\]", "[]", finding.path)
        assert path == where + (wanted[finding.text].field or "")
        assert finding.message
    assert not found.valid
    assert not found.served


@pytest.mark.parametrize("spec", [*GOOD_MODEL, *GOOD_NETWORK, *GOOD_PREFLIGHT, *GOOD_TRAFFIC], ids=str)
def test_what_is_just_inside_of_the_rules_is_valid(spec: dict[str, Any]) -> None:
    assert judge(raw(**spec)).findings == ()


def test_a_flag_that_was_allowed_before_stays_until_the_list_is_changed() -> None:
    def stored(*flags: str, **spec: Any) -> dict[str, Any]:
        return raw(engine={"extraArgs": list(flags)}, **spec)

    old = stored("--enforce-eager")
    assert judge(stored("--enforce-eager", replicas=2), old=old).valid
    assert not judge(stored("--enforce-eager", "--async-scheduling"), old=old).valid
    assert not judge(old).valid


def written(value: object) -> str:
    """A test's id that is the same in each process: sets have no order of their own."""
    return str(sorted(value)) if isinstance(value, set) else str(value)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_valid(sample: Any) -> None:
    for document in yaml.safe_load_all(sample.read_text()):
        assert judge(document).findings == ()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"engin": {}}, {("spec.engin", "unknown field")}),
        ({"zones": [{"name": "a", "weights": 1}]}, {("spec.zones[0].weights", "unknown field")}),
        ({"replicas": "3"}, {("spec.replicas", "type")}),
        ({"replicas": 3.5}, {("spec.replicas", "type"), ("spec.replicas", "format")}),
        ({"replicas": 2**40}, {("spec.replicas", "format"), ("spec.replicas", "maximum")}),
        ({"replicas": -1}, {("spec.replicas", "minimum")}),
        ({"replicas": True}, {("spec.replicas", "type")}),
        ({"replicas": 3.0}, set()),
        ({"replicas": None}, set()),
        ({"model": {}}, {("spec.model.source", "required")}),
        ({"model": {"source": "/m", "servedName": "m\n"}}, {("spec.model.servedName", "cel")}),
        ({"engine": {"imagePullPolicy": "always"}}, {("spec.engine.imagePullPolicy", "enum")}),
        ({"engine": {"image": "x" * 513}}, {("spec.engine.image", "maxLength")}),
        ({"engine": {"extraArgs": ["--async-scheduling", ""]}}, {("spec.engine.extraArgs[1]", "minLength")}),
        ({"zones": []}, {("spec.zones", "minItems"), ("spec.zones", "cel")}),
        ({"zones": [{"name": f"z{n}"} for n in range(17)]}, {("spec.zones", "maxItems")}),
        ({"zones": [{"name": "a"}, {"name": "a"}, {"name": "a"}]}, {("spec.zones[1]", "duplicate")}),
        ({"zones": [{"name": "a\n"}]}, {("spec.zones[0].name", "pattern")}),
        ({"zones": [None]}, {("spec.zones[0]", "type")}),
        ({"podTemplate": {"spec": {"hostNetwork": True}}}, {("spec.podTemplate.spec.hostNetwork", "accepted")}),
        ({"podTemplate": {"spec": {"nodeSelector": None}}}, set()),
    ],
    ids=written,
)
def test_each_keyword_of_the_schema(spec: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert said(raw(**spec)) == expected


def test_rules_in_cel_wait_for_types_and_lengths() -> None:
    verdict = judge(raw(replicas="x", zones=[{"name": "a", "weight": 0}]))
    assert not verdict.complete
    assert {finding.rule for finding in verdict.findings} == {Rule.TYPE}


def test_what_the_operator_refuses_is_served_but_not_valid() -> None:
    verdict = judge(raw(podTemplate={"spec": {"hostNetwork": True}}))
    assert (verdict.served, verdict.valid) == (True, False)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, {("metadata.name", "required")}),
        ({"name": 7}, {("metadata.name", "type")}),
        ({"name": "llm", "labls": {}}, {("metadata.labls", "unknown field")}),
        ({"name": "llm", "labels": {"a": 1}}, {("metadata.labels", "type")}),
        ({"name": "llm", "labels": {"a/b/c": "x"}}, {("metadata.labels", "name")}),
        ({"name": "llm", "labels": {"a": "-"}}, {("metadata.labels", "name")}),
        ({"name": "llm", "annotations": {"/a": "x"}}, {("metadata.annotations", "name")}),
        ({"name": "llm", "annotations": {"a": "x" * 2**18}}, {("metadata.annotations", "maxLength")}),
        ({"name": "L"}, {("metadata.name", "name"), ("", "cel")}),
    ],
    ids=lambda value: written(value)[:40],
)
def test_metadata(metadata: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert said(raw() | {"metadata": metadata}) == expected


def test_the_blamed_field_is_shown_with_its_value_and_the_operator_adds_its_own() -> None:
    document = raw(replicas=2, zones=[{"name": "a"}], podTemplate={"spec": {"hostPID": True}})
    found = {finding.path: finding for finding in judge(document).findings}
    assert found.keys() == {"spec.replicas", "spec.podTemplate.spec.hostPID"}
    assert (found["spec.replicas"].rule, found["spec.replicas"].value) == (Rule.CEL, "2")


def test_another_version_is_refused() -> None:
    assert said(raw() | {"apiVersion": "trireme.dev/v9"}) == {("apiVersion", "identity")}


def test_an_update_keeps_its_old_faults_and_no_new_ones() -> None:
    """Ratcheting: a tightened bound must not make an old object impossible to change elsewhere."""
    old = raw(engine={"config": {"gpuMemoryPercent": 400}, "extraArgs": ["chunked"]})
    new = raw(engine={"config": {"gpuMemoryPercent": 400}, "extraArgs": ["chunked"]}, replicas=2)
    assert said(new) == {("spec.engine.config.gpuMemoryPercent", "maximum"), ("spec.engine.extraArgs", "cel")}
    assert judge(new, old=old).served
    worse = raw(engine={"config": {"gpuMemoryPercent": 401}, "extraArgs": ["chunked"]})
    assert said(worse, old=old) == {("spec.engine.config.gpuMemoryPercent", "maximum")}
    operators = {(finding.path, finding.rule) for finding in judge(new, old=old).findings}
    assert operators == {("spec.engine.config.gpuMemoryPercent", Rule.ACCEPTED)}


@pytest.mark.parametrize(("old", "new", "expected"), UPDATES, ids=str)
def test_transition_rules_compare_with_what_was_there(old: Any, new: Any, expected: list[tuple[str, str]]) -> None:
    before = NEW if old is None else Old(old)
    assert [(found.path, found.message) for found in rules.findings(new, TRANSITIONS, "", before)] == expected


@pytest.mark.parametrize(
    ("expression", "fallback"),
    [
        ("'a' + self", False),
        ("'a\\nb'", True),
        ("'  '", True),
        ("self.nothing", True),
        ("'x' + string(self / 0)", True),
    ],
)
def test_a_message_that_can_not_be_made_falls_back_to_the_text(expression: str, fallback: bool) -> None:
    node = {"x-kubernetes-validations": [{"rule": "false", "message": "fixed", "messageExpression": expression}]}
    (found,) = rules.findings("v", node, "x", NEW)
    assert (found.message == "fixed") is fallback


def test_a_rule_that_fails_to_evaluate_is_a_finding() -> None:
    node = {"x-kubernetes-validations": [{"rule": "quantity(self).isGreaterThan(quantity('1'))", "message": "m"}]}
    (found,) = rules.findings("1x", node, "spec.x", NEW)
    assert found.path == "spec.x"
    assert "evaluating rule: m" in found.message


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("self.size()", "\u00e9\U0001f600", 2),
        ("size(self) + size('size(x)')", "ab", 9),
        ("self.matches('^a$')", "a\n", False),
        ("self.matches('it\\x27s')", "it's", True),
        ("'--a_b.c=1'.split('=')[0].split('.')[0].replace('_', '-')", "", "--a-b"),
        ("self.substring(1, 3)", "\u00c4BCD", "BC"),
        ("self.substring(3, 3)", "abc", ""),
        ("self.lowerAscii()", "\u00c4B", "\u00c4b"),
        ("self.a == 1 || true", {}, True),
        ("false && self.a == 1", {}, False),
        ("quantity(self).isGreaterThan(quantity('-5'))", "Gi", True),
        ("quantity(self).isGreaterThan(quantity('8e18'))", "9Ei", True),
        ("quantity(self).isGreaterThan(quantity('9223372036854775807'))", "99999999999999999999", False),
        ("quantity(self).compareTo(quantity('1'))", "1000m", 0),
        ("quantity(self).compareTo(quantity('9e18'))", "1e999999999", 1),
        ("quantity(self).compareTo(quantity('1n'))", "1e-999999999", 0),
        ("quantity(self).compareTo(quantity('1000'))", "1E3", 0),
        ("quantity(self).isLessThan(quantity('1'))", "-1.5k", True),
        ("isQuantity(self)", "1X", False),
        ("-7 % 3", None, -1),
        ("self == 'cpu'", 5, False),
        ("self % 2 == 0 && self / 2 * 2 == self", 6, True),
    ],
)
def test_the_evaluator_and_our_functions_do_what_the_server_does(text: str, value: Any, expected: Any) -> None:
    assert rules._program(text).execute(rules._Scope(value, NEW).alone) == expected


def texts() -> Iterator[str]:
    for rule in RULES:
        yield rule.rule
        yield from [rule.message_expression] if rule.message_expression else []


def patterns(node: dict[str, Any]) -> Iterator[str]:
    yield from [node["pattern"]] if "pattern" in node else []
    for child in [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]:
        yield from patterns(child)


def test_every_function_that_a_rule_calls_is_there() -> None:
    core = {"matches", "startsWith", "endsWith", "contains", "string", "size", "int"}
    called = {name for text in texts() for name in cel.compile(text).functions() if name.isidentifier()}
    assert called - core <= set(rules._FUNCTIONS)


@pytest.mark.parametrize("pattern", sorted({*patterns(schema()), *texts()}))
def test_regular_expressions_mean_the_same_in_both_engines(pattern: str) -> None:
    r"""Classes such as \d hold more than ASCII in the evaluator's engine, and && -- ~~ inside of [] are operators."""
    assert not re.search(r"\\[dwsbDWSB]|\(\?[a-z]*i", pattern)
    for inside in re.findall(r"\[((?:\\.|[^\]])+)\]", pattern):
        assert "&&" not in inside
        assert "~~" not in inside


def test_defaults_take_the_place_of_nulls_and_other_nulls_go() -> None:
    node = {
        "properties": {
            "a": {"default": {}, "properties": {"b": {"default": 1}, "c": {}}},
            "l": {"items": {"properties": {"x": {"default": 2}}}},
            "any": {"x-kubernetes-preserve-unknown-fields": True},
        }
    }
    value: dict[str, Any] = {"a": None, "l": [{"x": None}, {}], "any": {"n": None}}
    fill_defaults(value, node)
    assert value == {"a": {"b": 1}, "l": [{"x": 2}, {"x": 2}], "any": {"n": None}}
    value["a"] = {"b": 1, "c": None}
    drop_nulls(value, node)
    assert value == {"a": {"b": 1}, "l": [{"x": 2}, {"x": 2}], "any": {"n": None}}


def test_numbers_arrive_as_they_do_at_the_server() -> None:
    assert normalize({"a": [3.0, 3.5, True, 2**63]}) == {"a": [3, 3.5, True, float(2**63)]}
    assert type(normalize(3.0)) is int
    assert type(normalize(2**63)) is float


def test_a_keyword_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="multipleOf"):
        list(findings(1, {"type": "integer", "multipleOf": 2}, "x", NEW))


def test_items_of_a_keyed_list_must_be_objects() -> None:
    node = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {}}
    (found,) = duplicates([1, {"name": "a"}], node, "x")
    assert found == Finding("x[0]", Rule.DUPLICATE, "must be an object: items are told apart by a key")
