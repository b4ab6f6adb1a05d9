"""No command ever acts on a cluster that the project did not make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.cluster.context import ContextError, refuse_elsewhere, require_own


def kubeconfig(path: Path, *, contexts: list[str], current: str | None) -> Path:
    path.write_text(json.dumps({"contexts": [{"name": name} for name in contexts], "current-context": current}))
    return path


def test_the_context_of_our_own_making_is_taken(tmp_path: Path) -> None:
    require_own(kubeconfig(tmp_path / "k", contexts=["trireme-local"], current="trireme-local"), "trireme-local")


@pytest.mark.parametrize(
    ("contexts", "current"),
    [
        pytest.param(["production"], "production", id="someone else's cluster"),
        pytest.param(["trireme-local", "production"], "trireme-local", id="ours beside someone else's"),
        pytest.param(["trireme-local"], "production", id="a current context that is not ours"),
        pytest.param([], None, id="an empty file"),
    ],
)
def test_any_other_kubeconfig_is_refused(tmp_path: Path, contexts: list[str], current: str | None) -> None:
    file = kubeconfig(tmp_path / "k", contexts=contexts, current=current)
    with pytest.raises(ContextError, match="only 'trireme-local' is ours"):
        require_own(file, "trireme-local")


def test_a_missing_kubeconfig_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match=r"python -m e2e\.cluster up"):
        require_own(tmp_path / "none", "trireme-local")


@pytest.mark.parametrize(
    "option",
    ["--kubeconfig=/root/.kube/config", "--kubeconfig", "--context=production", "--kube-context", "--server", "-s"],
)
def test_options_that_lead_elsewhere_are_refused(option: str) -> None:
    with pytest.raises(ContextError, match="leave that option out"):
        refuse_elsewhere(["get", "pods", option])


def test_options_of_a_program_run_in_a_pod_are_its_own() -> None:
    refuse_elsewhere(["exec", "pod/x", "--namespace=demo", "--", "curl", "--user", "me", "-s"])
