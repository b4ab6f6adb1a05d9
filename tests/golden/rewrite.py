"""Writes every ``expected.yaml`` and every ``engine-commands/*/*.json`` anew: ``python -m tests.golden.rewrite``.

Read the difference before committing it.
"""

from __future__ import annotations

import sys

from tests.golden import engine_commands
from tests.golden.cases import CASES, expected_path, text


def main() -> None:
    for case in CASES:
        path, new = expected_path(case), text(case)
        if not path.exists() or path.read_text() != new:
            path.write_text(new)
            sys.stdout.write(f"wrote {path}\n")
    for path in engine_commands.rewrite():
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
