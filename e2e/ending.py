"""How the commands of ``make`` end when something goes wrong: in words, with the way on, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from e2e.cluster import ClusterError, ContextError
from e2e.cluster.image_store import ImageError
from e2e.cluster.processes import ProcessError
from e2e.host import CommandError, HostError
from e2e.progress import console
from e2e.toolchain import ToolchainError

EXPECTED = (
    ClusterError,
    CommandError,
    ContextError,
    HostError,
    ImageError,
    ProcessError,
    TimeoutError,
    ToolchainError,
)
"""What the user or the machine can put right. Anything else is a mistake of ours and keeps its traceback."""

INTERRUPTED = 130


def explained(main: Callable[[], None], *, way_on: str = "") -> None:
    """Run ``main``; end the process with 1 after an expected error and with 130 after Ctrl-C, saying ``way_on``."""
    try:
        main()
    except EXPECTED as error:
        console.print("[red]error:[/]", end=" ")
        console.print(str(error), markup=False)  # what programs said may look like markup
        status = 1
    except KeyboardInterrupt:
        console.print("interrupted")
        status = INTERRUPTED
    else:
        return
    if way_on:
        console.print(way_on)
    sys.exit(status)
