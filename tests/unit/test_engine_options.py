"""What each supported vLLM takes: read right, and all that the operator and the launcher write is in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.engine_options import WHEELS
from tests.double import flags
from tests.golden.engine_commands import LAYOUTS, OPTIONS, VERSIONS, path, pods, text
from trireme_operator.api.flags import LONG

ROOT = Path(__file__).parents[2]


def options(version: str) -> dict[str, dict[str, Any]]:
    """Each flag by each of its spellings."""
    document = json.loads((OPTIONS / f"{version}.json").read_text())
    return {spelling: flag for flag in document["flags"] for spelling in flag["options"]}


def test_the_versions_are_those_that_the_project_supports() -> None:
    assert sorted(WHEELS) == VERSIONS
    for version, digest in WHEELS.items():
        assert digest in json.loads((OPTIONS / f"{version}.json").read_text())["source"]


def test_the_way_out_of_the_wheel_says_the_same_as_the_real_parser() -> None:
    """The double's file was printed by the parser of an installed vLLM 0.32.0; CI compares it with that again."""
    read = json.loads((OPTIONS / "0.32.0.json").read_text())["flags"]
    assert read == json.loads(flags.SNAPSHOT.read_text())["flags"]
    assert len(read) > 300


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_commands_and_what_is_read_of_them_are_as_written_down(version: str, layout: str) -> None:
    message = "look at the difference; if it is meant, run `make golden`"
    assert path(version, layout).read_text() == text(version, layout), message


def test_nothing_is_written_down_of_a_layout_that_is_gone() -> None:
    assert {file.relative_to(path("", "").parent) for file in path("", "").parent.rglob("*.json")} == {
        Path(version, f"{layout}.json") for version in VERSIONS for layout in LAYOUTS
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_every_flag_is_written_out_in_a_spelling_of_its_own(version: str) -> None:
    """No prefix of a flag, which a later version may make ambiguous, and none that it has not."""
    known = options(version)
    for layout in LAYOUTS:
        for argv in pods(layout):
            assert [word for word in argv if word.startswith("-") and word not in known] == []


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if len(pods(name)) > 1])
def test_all_pods_but_for_their_place_say_the_same(layout: str) -> None:
    """Ranks of one world compare their settings; what may differ says which pod it is, or that it serves HTTP."""
    own = {
        "node_rank",
        "master_addr",
        "headless",
        "data_parallel_address",
        "data_parallel_rank",
        "data_parallel_start_rank",
        "disable_access_log_for_endpoints",
    }
    everyone = [flags.given(argv[1:], OPTIONS / "0.33.0.json") for argv in pods(layout)]
    common = [{name: value for name, value in each.items() if name not in own} for each in everyone]
    assert all(each == common[0] for each in common)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_spelling_of_an_owned_flag_is_owned(version: str) -> None:
    """Also those by which it is switched off, which are called otherwise since 0.33."""
    known = options(version)
    spellings = {each for flag in LONG if flag in known for each in known[flag]["options"] if each.startswith("--")}
    assert spellings <= set(LONG)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_out_is_refused_in_extra_args(version: str) -> None:
    """Who could say it twice would win over the operator or the launcher."""
    own = {"--chat-template", "--async-scheduling", "--load-format", "--disable-access-log-for-endpoints"}
    written = {word for layout in LAYOUTS for argv in pods(layout) for word in argv if word.startswith("--")}
    assert written - own <= set(LONG)
    assert written <= set(options(version))


def test_a_hostile_value_stays_one_word_from_the_resource_to_the_engine(tmp_path: Path) -> None:
    """By way of a real process: no shell, no expansion, nothing cut at spaces, quotes or line ends."""
    hostile = "$(HF_TOKEN); `id` 'x\n\"y"
    argv = pods("settings-on")[0]
    assert argv[argv.index("--chat-template") + 1] == hostile
    python = shutil.which("python3")
    assert python is not None
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    said = subprocess.run([python, "-c", program, *argv[1:]], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == argv[1:]


def test_no_process_of_the_launcher_is_started_through_a_shell() -> None:
    runtime = "\n".join(file.read_text() for file in (ROOT / "runtime/trireme_runtime").glob("*.py"))
    assert re.findall(r"shell\s*=|os\.system|os\.popen|getoutput|\bsh\b.*-c", runtime) == []
