"""Keys, flags and pins of the upstream programs; nothing is built here."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from e2e import cache, toolchain
from e2e.host import GO_MINIMUM
from e2e.toolchain import MODULES, PROGRAMS, ToolchainError
from e2e.versions import versions


def go_mod(folder: str) -> str:
    return (MODULES / folder / "go.mod").read_text()


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of e2e/binaries that a test may edit."""
    copy = tmp_path / "binaries"
    shutil.copytree(MODULES, copy)
    monkeypatch.setattr(toolchain, "MODULES", copy)
    return copy


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_program_is_pinned_to_the_version_in_versions_toml(name: str) -> None:
    program = PROGRAMS[name]
    version = versions().binaries[program.version]
    package = "k8s.io/kubernetes" if program.folder == "kube" else program.package
    required = re.findall(r"^\s(?:require )?(\S+) v(\S+?)(?: // indirect)?$", go_mod(program.folder), re.MULTILINE)
    assert [v for module, v in required if package == module or package.startswith(f"{module}/")] == [version]


@pytest.mark.parametrize("folder", sorted({program.folder for program in PROGRAMS.values()}))
def test_no_module_asks_for_a_newer_go_than_the_oldest_we_accept(folder: str) -> None:
    line = re.search(r"^go (\S+)$", go_mod(folder), re.MULTILINE)
    assert line is not None
    assert tuple(map(int, line[1].split("."))) <= GO_MINIMUM


def test_kubernetes_staging_modules_are_all_replaced_by_the_release() -> None:
    minor = versions().binaries["kubernetes"].split(".", 1)[1]
    replaced = re.findall(r"^\t(k8s\.io/\S+) => (\S+) v(\S+)$", go_mod("kube"), re.MULTILINE)
    assert len(replaced) == 33
    assert {(old == new, version) for old, new, version in replaced} == {(True, f"0.{minor}")}


def test_a_module_has_nothing_but_its_pins_and_its_program() -> None:
    assert {file.name for file in MODULES.rglob("*") if file.is_file()} == {"go.mod", "go.sum", "main.go"}


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_the_key_of_kube_changes_with_each_of_its_files(modules: Path, file: str) -> None:
    before = toolchain.build_key("kube")
    with (modules / "kube" / file).open("a") as stream:
        stream.write("\n")
    assert toolchain.build_key("kube") != before


def test_the_key_of_a_program_is_its_own(modules: Path) -> None:
    before = toolchain.build_key("helm")
    (modules / "kube" / "go.sum").write_text("")
    assert toolchain.build_key("helm") == before
    assert len({toolchain.build_key(name) for name in PROGRAMS}) == len(PROGRAMS)


def test_the_key_changes_with_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for machine in ("x86_64", "aarch64"):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        keys.add(toolchain.build_key("lws"))
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("name", "system", "want"),
    [
        pytest.param("lws", "darwin", ("linux", "arm64"), id="a part of the cluster is built for Linux"),
        pytest.param("helm", "darwin", ("darwin", "arm64"), id="a tool is built for the machine that runs it"),
        pytest.param("kubectl", "linux", ("linux", "arm64"), id="which usually is Linux too"),
    ],
)
def test_target_platform(monkeypatch: pytest.MonkeyPatch, name: str, system: str, want: tuple[str, str]) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert toolchain.target_platform(PROGRAMS[name]) == want


def test_kubernetes_knows_its_version() -> None:
    arguments = toolchain.build_arguments(PROGRAMS["kube"], Path("/out/kube"))
    version = versions().binaries["kubernetes"]
    assert arguments[0] == "build"
    assert arguments[-3:] == ["-o", "/out/kube", "."]
    flags = arguments[arguments.index("-ldflags") + 1]
    assert f"-X k8s.io/component-base/version.gitVersion=v{version}" in flags
    assert f"-X k8s.io/component-base/version.gitMinor={version.split('.')[1]}" in flags


def test_the_machine_s_own_go_settings_do_not_reach_a_build() -> None:
    environment = toolchain.go_environment(goos="linux", goarch="amd64")
    assert "-mod=readonly" in environment["GOFLAGS"]
    assert environment["GOWORK"] == "off"
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["CGO_ENABLED"] == "0"


def test_a_finished_build_is_found_without_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    monkeypatch.setattr(toolchain, "go", lambda: pytest.fail("asked for Go"))
    entry = cache.entry("bin", f"helm-{toolchain.build_key('helm')}")
    entry.mkdir(parents=True)
    assert toolchain.binary("helm") == entry / "helm"


def test_kube_answers_to_the_name_of_every_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    entry = cache.entry("bin", f"kube-{toolchain.build_key('kube')}")
    entry.mkdir(parents=True)
    (entry / "kube").touch()
    links = toolchain.kube_link_dir()
    assert {link.name: link.resolve() for link in links.iterdir()} == dict.fromkeys(
        toolchain.KUBE_COMPONENTS, (entry / "kube").resolve()
    )
    dispatched = re.findall(r'^\t"([a-z-]+)":', (MODULES / "kube" / "main.go").read_text(), re.MULTILINE)
    assert set(dispatched) == set(toolchain.KUBE_COMPONENTS)


def test_an_unknown_program_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ToolchainError, match=r"no program 'etcd'; there are kube, .*envoy"):
        toolchain.binary("etcd")


def test_only_pinned_modules_can_be_had() -> None:
    with pytest.raises(ToolchainError, match=r"requires sigs\.k8s\.io/lws v0\.1\.0: change it there"):
        toolchain.module_dir("sigs.k8s.io/lws", "0.1.0")


@pytest.mark.parametrize(
    ("module", "row"),
    [
        ("sigs.k8s.io/lws", "lws"),
        ("sigs.k8s.io/gateway-api", "gateway-api"),
        ("github.com/envoyproxy/gateway", "envoy-gateway"),
        ("sigs.k8s.io/metrics-server", "metrics-server"),
    ],
)
def test_a_module_is_downloaded_where_its_checksum_is(
    module: str, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[list[str], Path]] = []

    def run(argv: list[str | Path], *, cwd: Path, env: dict[str, str]) -> str:
        assert "-mod=readonly" in env["GOFLAGS"]
        calls.append(([str(word) for word in argv], cwd))
        return f'{{"Dir": "{tmp_path}"}}'

    monkeypatch.setattr(toolchain, "run", run)
    monkeypatch.setattr(toolchain, "go", lambda: Path("/go"))
    version = versions().binaries[row]
    assert toolchain.module_dir(module, version) == tmp_path
    [(argv, cwd)] = calls
    assert argv == ["/go", "mod", "download", "-json", module]
    assert f"{module} v{version} h1:" in (cwd / "go.sum").read_text()
