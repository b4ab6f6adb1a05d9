"""What a campaign remembers between its rounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e import campaign
from e2e.campaign import Campaign


def test_rounds_and_the_time_they_took_add_up() -> None:
    total = Campaign().add(seed=1, seconds=2.5, passed=True).add(seed=2, seconds=4.0, passed=False)
    assert (total.rounds, total.seconds, total.failed_seeds) == (2, 6.5, (2,))


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    kept = Campaign().add(seed=1, seconds=3.0, passed=False)
    campaign.save(tmp_path / "results" / "campaign.json", kept)
    assert campaign.load(tmp_path / "results" / "campaign.json") == kept


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"rounds": 1}'])
def test_a_result_that_cannot_be_read_is_a_new_campaign(tmp_path: Path, text: str) -> None:
    (tmp_path / "campaign.json").write_text(text)
    assert campaign.load(tmp_path / "campaign.json") == Campaign()


def test_rounds_with_another_number_of_examples_do_not_count(tmp_path: Path) -> None:
    campaign.save(tmp_path / "campaign.json", Campaign(rounds=9, seconds=9.0, examples_per_test=1))
    assert campaign.load(tmp_path / "campaign.json") == Campaign()


def test_a_failed_round_fails_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "RESULT", tmp_path / "campaign.json")
    monkeypatch.setattr(campaign, "run_round", lambda seed: seed != 2)
    clock = iter(range(0, 100_000, 600))
    monkeypatch.setattr("e2e.campaign.time.monotonic", lambda: float(next(clock)))
    assert campaign.main(1.0) == 1
    assert 2 in campaign.load(tmp_path / "campaign.json").failed_seeds
