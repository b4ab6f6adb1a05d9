"""A stand-in for ``vllm`` in tests: ``python -m tests.double serve MODEL [vLLM's flags]``.

It wires itself into a group, serves, drains and breaks as vLLM does, without a model: see node.py. It needs the
standard library only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from tests.double import controls, flags
from tests.double.api import VERSION
from tests.double.node import Leader, Replica, Worker


def main() -> int:
    if sys.argv[1:] == ["--version"]:
        print(VERSION)  # noqa: T201
        return 0
    logging.basicConfig(level=logging.INFO, format="(double pid=%(process)d) %(levelname)s %(message)s")
    settings = flags.parse(sys.argv[1:])
    if os.environ.get("VLLM_PORT", "").startswith("tcp://"):
        # A Service named vllm sets it in every pod that asks for service links.
        sys.stderr.write("VLLM_PORT appears to be a URI\n")
        return 1
    wishes = controls.from_environment(os.environ)
    return asyncio.run(_run(settings, wishes))


async def _run(settings: flags.Settings, wishes: controls.Controls) -> int:
    kind = Worker if settings.headless else Replica if settings.node_rank else Leader
    code = await kind(settings, wishes).run()
    # Connections break as they do when a process dies; nothing is unwound.
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
