"""What the commands about revisions decide before they ask a cluster for anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.resources import cluster, raw
from trireme_operator.api import InvalidResource, parse
from trireme_operator.api.labels import ANNOTATION_RENDERING
from trireme_operator.cli import edits
from trireme_operator.cli.history import age
from trireme_operator.cli.main import app
from trireme_operator.cli.revisions import History, NoSuchRevisionError, Revision, changes
from trireme_operator.cli.rollback import CanNotRestoreError, change_to
from trireme_operator.planning import inputs_name, template_inputs

Obj = dict[str, Any]
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
NEXT: Obj = {"engine": {"image": "next"}}
REFUSED: Obj = {"podTemplate": {"spec": {"hostNetwork": True}}}


def revision(number: int, *, zones: tuple[str, ...] = (), rendering: str = "", **spec: Any) -> Revision:
    resource = cluster(**spec)
    name = inputs_name(resource) + rendering
    return Revision(number, name, WHEN, template_inputs(resource), {"number": number}, zones)


def history(spec: Obj, *revisions: Revision, metadata: Obj | None = None, status: Obj | None = None) -> History:
    obj = raw(**spec) | {"status": status or {}}
    obj["metadata"] |= metadata or {}
    try:
        return History(obj, revisions, parse(obj), "")
    except InvalidResource as error:
        return History(obj, revisions, None, str(error))


def test_a_rollback_goes_to_the_revision_before_the_one_that_the_spec_asks_for() -> None:
    third: Obj = {"engine": {"image": "third"}}
    found = history(third, revision(1), revision(2, **NEXT), revision(5, **third))
    assert change_to(found, None).target.number == 2
    assert change_to(found, "1").target.number == 1


def test_before_the_operator_has_stored_an_edit_the_newest_revision_is_what_was_before() -> None:
    assert (
        change_to(history({"engine": {"image": "unseen"}}, revision(1), revision(2, **NEXT)), None).target.number == 2
    )


def test_a_refused_spec_goes_back_to_what_runs() -> None:
    found = history(REFUSED, revision(1), revision(2, zones=("a",), **NEXT), revision(3))
    change = change_to(found, None)
    assert change.target.number == 2
    assert change.after["engine"]["image"] == "next"
    assert {"op": "remove", "path": "/spec/podTemplate"} in change.operations


def test_a_refusal_that_no_input_causes_is_told() -> None:
    found = history({"zones": "nowhere"}, revision(1, zones=("a",)))
    with pytest.raises(CanNotRestoreError, match=r"would still be refused.*zones"):
        change_to(found, None)


def test_the_oldest_revision_has_nothing_before_it() -> None:
    with pytest.raises(NoSuchRevisionError, match="oldest that is kept"):
        change_to(history({}, revision(1)), None)
    with pytest.raises(NoSuchRevisionError, match="holds none yet"):
        change_to(history({}), None)


def test_a_revision_without_inputs_can_not_be_gone_back_to() -> None:
    bare = Revision(1, "llama-x", WHEN, {}, {}, ())
    with pytest.raises(CanNotRestoreError, match="stores no inputs"):
        change_to(history(NEXT, bare, revision(2, **NEXT)), None)


def test_values_that_no_field_holds_are_named_and_nothing_is_changed() -> None:
    later = revision(1)
    later.inputs["resources"]["limits"]["moons"] = "2"
    with pytest.raises(CanNotRestoreError, match=r"resources\.limits\.moons"):
        change_to(history(NEXT, later, revision(2, **NEXT)), None)


def test_a_later_rendering_is_chosen_and_left_by_the_annotation() -> None:
    suffix = "-0123abcd"
    first, later = revision(1), revision(2, rendering=suffix)
    chosen = change_to(history({}, first, later), "2")
    assert chosen.operations == [
        {"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION_RENDERING: later.name}}
    ]
    annotated = {"annotations": {ANNOTATION_RENDERING: later.name, "theirs": "1"}}
    back = change_to(history({}, first, later, metadata=annotated), None)
    path = "/metadata/annotations/trireme.dev~1rendering"
    assert back.operations == [{"op": "remove", "path": path}]
    again = change_to(history({}, first, later, metadata={"annotations": {"theirs": "1"}}), "2")
    assert again.operations == [{"op": "add", "path": path, "value": later.name}]


def test_what_is_asked_for_already_needs_no_operation() -> None:
    assert change_to(history({}, revision(1)), "1").operations == []


def test_an_edit_is_only_taken_by_the_resource_that_was_read() -> None:
    tests = edits.unchanged(raw())
    assert [(each["op"], each["path"], each["value"]) for each in tests] == [
        ("test", "/metadata/uid", "0b7c"),
        ("test", "/metadata/generation", 1),
    ]


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        pytest.param({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD", id="Argo CD by annotation"),
        pytest.param({"managedFields": [{"manager": "argocd-controller"}]}, "Argo CD", id="Argo CD by manager"),
        pytest.param({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}, "Flux", id="Flux"),
        pytest.param({"annotations": {"meta.helm.sh/release-name": "x"}}, "Helm", id="Helm"),
        pytest.param({"managedFields": [{"manager": "kubectl"}]}, None, id="a person"),
        pytest.param({}, None, id="nothing known"),
    ],
)
def test_who_else_writes_a_resource_is_told_by_its_metadata(metadata: Obj, who: str | None) -> None:
    assert edits.keeper({"metadata": metadata}) == who


def test_a_rendering_alone_changes_values_of_the_template() -> None:
    found = changes(revision(1), revision(2, rendering="-0123abcd"))
    assert [(each.path, each.before, each.after) for each in found] == [("template.number", 1, 2)]
    assert changes(None, revision(1)) == ()


@pytest.mark.parametrize(
    ("since", "text"),
    [
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=12), "12m"),
        (timedelta(hours=5), "5h"),
        (timedelta(days=3), "3d"),
    ],
)
def test_ages_are_shown_in_their_largest_unit(since: timedelta, text: str) -> None:
    assert age(since) == text


@pytest.mark.parametrize("command", ["history", "diff", "rollback", "upgrade-rendering"])
def test_without_a_kubeconfig_nothing_is_asked(command: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [command, "llm", "--kubeconfig", str(tmp_path / "none")])
    assert done.exit_code == 2
    assert "there is no such kubeconfig" in done.stderr
