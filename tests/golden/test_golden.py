"""Everything rendered, word for word; and its readers' own schemas take it."""

from __future__ import annotations

import copy

import pytest
import yaml

from tests.golden import schemas
from tests.golden.cases import CASES, expected_path, rendered, text


@pytest.mark.parametrize("case", CASES)
def test_children_are_rendered_as_written_down(case: str) -> None:
    assert expected_path(case).read_text() == text(case), "look at the difference; if it is meant, run `make golden`"


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_down_fits_the_schemas_of_its_readers(case: str) -> None:
    documents = list(yaml.load_all(expected_path(case).read_text(), schemas.LOADER))
    # The number of groups is applied by a field manager of its own and is no whole object.
    whole = [document for document in documents if document.get("spec", {}).keys() != {"replicas"}]
    checked = [document for document in whole if schemas.covers(document["kind"])]
    assert checked
    assert [fault for document in checked for fault in schemas.faults(document)] == []


def test_the_check_against_the_schemas_finds_what_is_wrong() -> None:
    good = next(obj for obj in rendered("smallest") if obj["kind"] == "LeaderWorkerSet")
    assert schemas.faults(good) == []
    bad = copy.deepcopy(good)
    pod = bad["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]
    pod["containers"][0]["livenesProbe"] = {}
    pod["terminationGracePeriodSeconds"] = "120"
    faults = schemas.faults(bad)
    assert any("livenesProbe: unknown field" in fault for fault in faults)
    assert any("terminationGracePeriodSeconds" in fault for fault in faults)
