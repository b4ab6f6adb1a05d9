"""The chart, as Helm sees it: rendered for whoever compares it, linted by ``python -m scripts.chart``.

Helm is the pinned one of this project, never the machine's. No cluster is asked.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from e2e.toolchain import binary

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "trireme"
CASES = CHART / "ci"
"""Values files that go far from the defaults; linting renders the chart with each."""
RELEASE = "trireme"
NAMESPACE = "trireme-system"


class ChartError(RuntimeError):
    """Helm refused the chart or the values; says what Helm said."""


def helm(*arguments: str) -> str:
    """Run the pinned Helm and return what it printed.

    Raises:
        ChartError: it ended with a status other than 0.

    """
    done = subprocess.run([str(binary("helm")), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ChartError(f"helm {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done.stdout


def template(*arguments: str, values: Sequence[Path] = (), release: str = RELEASE) -> list[dict[str, Any]]:
    """The objects of the chart (without its CRDs) for these values, in Helm's order of installation."""
    files = [f"--values={file}" for file in values]
    text = helm("template", release, str(CHART), f"--namespace={NAMESPACE}", *files, *arguments)
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document is not None]


def lint() -> None:
    """Lint the chart and render it, with its defaults and with each file of ``ci/``.

    Raises:
        ChartError: with the first complaint.

    """
    cases = sorted(CASES.glob("*.yaml"))
    helm("lint", "--strict", str(CHART))
    for case in cases:
        helm("lint", "--strict", str(CHART), f"--values={case}")
    for values in [(), *((case,) for case in cases)]:
        if not template(values=values):
            raise ChartError(f"the chart renders nothing with {values or 'its defaults'}")


def main() -> int:
    try:
        lint()
    except ChartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
