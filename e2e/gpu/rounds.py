"""``vllm bench serve`` again and again in one process: ``python -m e2e.gpu.rounds``, a JSON list of its
arguments a line.

Importing the engine takes longer than a round. Answers are lines that begin with ``@`` and hold the path of the result,
or the error; everything else on the output is what the benchmark prints.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    from vllm.benchmarks.serve import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
        add_cli_args,
    )
    from vllm.benchmarks.serve import main as bench  # noqa: PLC0415
    from vllm.utils.argparse_utils import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
        FlexibleArgumentParser,
    )

    print("@ready", flush=True)
    for line in sys.stdin:
        words = json.loads(line)
        parser = FlexibleArgumentParser()
        add_cli_args(parser)
        try:
            bench(parser.parse_args(words))
        except Exception as error:  # noqa: BLE001 - said to who asked, who decides
            print(f"@error {type(error).__name__}: {error}".replace("\n", " "), flush=True)
        else:
            print("@done", flush=True)


if __name__ == "__main__":
    main()
