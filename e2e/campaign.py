"""``make campaign``: the property tests for hours, each round with a seed of its own; goes on where it was stopped.

A round runs every test that draws its input (hypothesis) with many more examples than the gate has time for. What was
found is in hypothesis' own database, so a failure comes back first in ``make check``. The result says how long all
rounds together really ran: ``bench/results/campaign.json``.

usage: python -m e2e.campaign [HOURS]      default 1; Ctrl-C ends it after the current round
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.progress import console

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "bench" / "results" / "campaign.json"
EXAMPLES_PER_TEST = 5000


@dataclass
class Campaign:
    """All rounds so far: how many, the seconds they took, and the seeds of those that failed."""

    rounds: int = 0
    seconds: float = 0.0
    examples_per_test: int = EXAMPLES_PER_TEST
    failed_seeds: tuple[int, ...] = ()

    def add(self, *, seed: int, seconds: float, passed: bool) -> Campaign:
        """The campaign with one more round."""
        failed = self.failed_seeds if passed else (*self.failed_seeds, seed)
        return Campaign(self.rounds + 1, round(self.seconds + seconds, 1), self.examples_per_test, failed)


def load(path: Path) -> Campaign:
    """What was kept of earlier rounds; a new campaign when nothing was, or with another number of examples."""
    try:
        kept = json.loads(path.read_text())
        campaign = Campaign(kept["rounds"], kept["seconds"], kept["examples_per_test"], tuple(kept["failed_seeds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Campaign()
    return campaign if campaign.examples_per_test == EXAMPLES_PER_TEST else Campaign()


def save(path: Path, campaign: Campaign) -> None:
    """Keep the campaign; a kill in the middle leaves the former state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(campaign), indent=2) + "\n")
    scratch.replace(path)


def run_round(seed: int) -> bool:
    """One round; True when every test passed."""
    argv = [sys.executable, "-m", "pytest", "-q", "tests/unit", "-m", "hypothesis", "-p", "no:randomly", "--timeout=0"]
    argv += [f"--hypothesis-seed={seed}", "--hypothesis-profile=campaign"]
    return subprocess.run(argv, cwd=ROOT, check=False, env={**os.environ, "PYTHONHASHSEED": str(seed)}).returncode == 0


def main(hours: float) -> int:
    campaign = load(RESULT)
    deadline = time.monotonic() + hours * 3600
    try:
        while time.monotonic() < deadline:
            seed, started = campaign.rounds + 1, time.monotonic()
            passed = run_round(seed)
            campaign = campaign.add(seed=seed, seconds=time.monotonic() - started, passed=passed)
            save(RESULT, campaign)
            console.print(f"round {seed}: {'passed' if passed else 'FAILED'}, {campaign.seconds / 3600:.2f} h in all")
    except KeyboardInterrupt:
        console.print("ended by hand; `make campaign` goes on from here")
    console.print(
        f"{campaign.rounds} rounds, {campaign.seconds / 3600:.2f} h, failed seeds: {campaign.failed_seeds or 'none'}"
    )
    return 1 if campaign.failed_seeds else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
