"""Hostile resources are refused, or what they say arrives literally and harms nobody."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import Document, expanded, faults, hostile, pod_templates
from tests.unit.pod_environment import POD, VARIABLES
from tests.unit.pods import ROOT, free_port
from trireme_operator.api import parse
from trireme_operator.offline import judge
from trireme_operator.planning import plan, weights
from trireme_operator.rendering import Settings, children
from trireme_runtime import command, limits

CASES = hostile()


def rendered(document: Document) -> list[Document]:
    parsed = parse(document)
    planned = plan(parsed)
    return children(parsed, planned, Settings(launcher_image="x"), weights(planned, {}))


def test_there_are_enough_of_them_and_all_differ() -> None:
    assert len(CASES) >= 300
    assert len({json.dumps(document) for _, document in CASES}) == len(CASES)


def test_each_is_refused_or_literal_and_harmless() -> None:
    taken, wrong = [], {}
    for name, document in CASES:
        if not judge(document).valid:
            continue
        taken.append(name)
        found = faults(document, rendered(document))
        if found:
            wrong[name] = found
    assert wrong == {}
    assert len(taken) >= 50, "what is only text is taken: quotes and dollars have to arrive"
    assert len(CASES) - len(taken) >= 300


def test_an_overlay_that_asks_for_more_is_refused_by_name() -> None:
    asked = [(name, document) for name, document in CASES if "podTemplate" in document["spec"]]
    for name, document in asked:
        if name.startswith(("pod annotation", "pod environment")):
            continue
        findings = judge(document).findings
        assert findings, name
        assert all(finding.path.startswith("spec.podTemplate") for finding in findings), name


def test_the_check_finds_harm() -> None:
    """Else it could pass whatever is rendered."""
    _, document = next((name, each) for name, each in CASES if name.startswith("extraArgs value '$(HF_TOKEN)"))
    harms: tuple[Callable[[Document], object], ...] = (
        lambda pod: pod.update(hostNetwork=True),
        lambda pod: pod.update(volumes=[{"name": "x", "hostPath": {"path": "/"}}]),
        lambda pod: pod["containers"][0].update(command=["sh", "-c"]),
        lambda pod: pod["containers"][0]["args"].__setitem__(-1, "$(TRIREME_CLUSTER)"),
        lambda pod: pod.update(serviceAccountName="default"),
    )
    for harm in harms:
        found = rendered(document)
        assert faults(document, found) == []
        harm(pod_templates(found)[0]["spec"])
        assert faults(document, found)


@pytest.mark.parametrize(
    ("word", "want"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("a$", "a$"), ("$x", "$x"), ("$$$(A)", "$1"), ("$(A", "$(A")],
)
def test_what_the_kubelet_makes_of_a_word(word: str, want: str) -> None:
    assert expanded(word, {"A": "1"}) == want


def hostile_arguments() -> list[str]:
    """The extra arguments of every case that is taken."""
    having = [document for _, document in CASES if document["spec"].get("engine", {}).get("extraArgs")]
    lists = [document["spec"]["engine"]["extraArgs"] for document in having if judge(document).valid]
    return list(dict.fromkeys(itertools.chain.from_iterable(lists)))


def test_the_launcher_hands_every_word_on_as_it_is() -> None:
    words = ["vllm", "serve", "m", *hostile_arguments()]
    assert len(words) > 20
    started = command.engine_command(words, POD, limits.of_grace(grace_seconds=120, settle_seconds=5))
    assert started[: len(words)] == words


def test_a_real_launcher_starts_the_engine_with_exactly_these_words(tmp_path: Path) -> None:
    engine, said = tmp_path / "engine.py", tmp_path / "said.json"
    engine.write_text(f"import json, sys\nopen({str(said)!r}, 'w').write(json.dumps(sys.argv[1:]))\n")
    words = hostile_arguments()
    assert words
    alone = {
        "LWS_GROUP_SIZE": "1",
        "LWS_LEADER_ADDRESS": "127.0.0.1",
        "TRIREME_POD_IP": "127.0.0.1",
        "TRIREME_LAUNCHER_PORT": str(free_port()),
        "TRIREME_ENGINE_PORT": str(free_port()),
        "TRIREME_PIPELINE_PARALLEL_SIZE": "1",
        "TRIREME_TERMINATION_LOG": str(tmp_path / "cause"),
        "TRIREME_POD_UID": tmp_path.name,
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": str(ROOT / "runtime"),
    }
    argv = [sys.executable, "-m", "trireme_runtime.main", sys.executable, str(engine), *words]
    done = subprocess.run(
        argv, env=os.environ | VARIABLES | alone, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert said.exists(), done.stdout + done.stderr
    received = json.loads(said.read_text())
    assert received[: len(words)] == words
    assert done.returncode == 1, "an engine that ends is a failure"
