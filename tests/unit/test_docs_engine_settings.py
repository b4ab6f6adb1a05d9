"""docs/engine-settings.md lists every setting with its flag, and the profiles as they are."""

from __future__ import annotations

from pathlib import Path

from tests.unit.resources import cluster
from trireme_operator.api.engine import EngineConfig, Profile
from trireme_operator.api.profiles import PROFILES
from trireme_operator.planning import EngineSetting, engine_settings
from trireme_operator.rendering.engine import arguments

PAGE = (Path(__file__).parents[2] / "docs" / "engine-settings.md").read_text()
SETTINGS = [field.alias or name for name, field in EngineConfig.model_fields.items()]


def rows(header: str) -> dict[str, list[str]]:
    """The cells of the table below a header, by the setting in the first."""
    lines = PAGE[PAGE.index(header) :].splitlines()[2:]
    table = lines[: lines.index("")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: row[1:] for row in cells}


def flag(name: str) -> str:
    return arguments(EngineSetting(name, 1, ""))[0]


def test_every_setting_is_listed_with_its_flag() -> None:
    assert {name: cells[0] for name, cells in rows("| setting | flag | what it does |").items()} == {
        name: flag(name) for name in SETTINGS
    }


def test_profiles_are_listed_as_they_are() -> None:
    listed = rows("| setting | flag | `production`")
    for column, profile in enumerate(Profile, start=1):
        made = {each.name: each.value for each in engine_settings(cluster(engine={"profile": profile.value}))}
        assert {name: cells[column] for name, cells in listed.items() if cells[column]} == {
            name: str(value).lower() for name, value in made.items()
        }
    assert len(PROFILES) == len(Profile)
    assert all(cells[0] == flag(name) for name, cells in listed.items())
