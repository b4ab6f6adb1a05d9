"""A program of the launcher's own in a process of its own: for what is too large, or too likely to hang, for this one.

It is no part of the engine: nothing that looks at the engine's processes sees it, and nothing waits for its end. It
ends with the thread that started it, and so with the launcher, however that ends. It says JSON, a line each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trireme_runtime import processes

# The working directory, which is first in the path, may hold modules of any name.
_START = """\
import sys
sys.path[:] = [{path!r}, *filter(None, sys.path)]
from trireme_runtime import processes
processes.end_with({parent})
from {module} import main
main(sys.argv[1:])
"""


class Program:
    """Runs ``main`` of ``module`` with these arguments; for one thread, which must live as long as it shall."""

    def __init__(self, module: str, *arguments: str) -> None:
        """Start it; raises OSError."""
        code = _START.format(path=str(Path(__file__).parents[1]), parent=os.getpid(), module=module)
        output, theirs = os.pipe()
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                # Without the packages of the engine's Python, some of which run code at every start.
                [sys.executable, "-S", "-c", code, *arguments],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, theirs, 1),
                ],
                setsid=True,
                setsigmask=(),  # the launcher waits for its signals blocked
            )
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(theirs)
        processes.set_apart(self.pid)
        self._output = os.fdopen(output, "rb")

    def said(self) -> Iterator[dict[str, Any]]:
        """What it says, until it has ended."""
        with self._output:
            for line in self._output:
                with contextlib.suppress(ValueError):  # a library may print too
                    found = json.loads(line)
                    if isinstance(found, dict):
                        yield found

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """What it says first, None when it ends without a word; raises TimeoutError when it says nothing in time.

        Either way it is ended.
        """
        try:
            poll = select.poll()
            poll.register(self._output, select.POLLIN)
            if not poll.poll(seconds * 1000):
                raise TimeoutError
            return next(self.said(), None)
        finally:
            self._output.close()
            processes.kill_apart(self.pid)
