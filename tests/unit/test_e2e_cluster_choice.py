"""Which cluster a machine gets, and what it is told when it gets none."""

from __future__ import annotations

import pytest

from e2e.cluster import ClusterError, choice, choose


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root on Linux without Docker, and nobody's wish."""
    monkeypatch.delenv("CLUSTER", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(choice, "docker_answers", lambda: False)


def test_root_without_docker_gets_the_local_cluster() -> None:
    assert choose().name == "trireme-local"


def test_docker_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "docker_answers", lambda: True)
    assert choose().name == "trireme-kind"


@pytest.mark.parametrize(("wanted", "name"), [("local", "trireme-local"), ("kind", "trireme-kind")])
def test_a_wish_decides_whatever_is_there(monkeypatch: pytest.MonkeyPatch, wanted: str, name: str) -> None:
    monkeypatch.setattr(choice, "docker_answers", lambda: wanted == "local")
    monkeypatch.setenv("CLUSTER", wanted)
    assert choose().name == name


def test_an_unknown_wish_is_refused_with_those_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "minikube")
    with pytest.raises(ClusterError, match="CLUSTER=minikube: it is either kind or local"):
        choose()


@pytest.mark.parametrize(("platform", "user"), [("linux", 1000), ("darwin", 0)])
def test_a_machine_that_can_run_neither_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, platform: str, user: int
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("os.geteuid", lambda: user)
    with pytest.raises(ClusterError, match=r"start Docker \(CLUSTER=kind\), or be root on Linux \(CLUSTER=local\)"):
        choose()


def test_a_machine_without_docker_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert not choice.docker_answers()
