"""What kopf does besides watching: it logs in, and it answers the liveness probe.

There is no handler of an object's events: kopf would keep a task and a memory for each object then, and with handlers
of changes also annotations and finalizers. `feed.py` reads the streams instead.
"""

from collections.abc import Callable
from typing import Any

import kopf


async def healthy(*, memo: kopf.Memo, **_: Any) -> str:
    """The liveness probe. Raises PermanentError, because kopf retries any other error inside the request."""
    problem = memo.problem()
    if problem:
        raise kopf.PermanentError(problem)
    return "ok"


def registry(login: Callable[..., Any]) -> kopf.OperatorRegistry:
    """A registry of our own, so that nothing else in the process can add handlers to it."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(login)
    kopf.on.probe(id="queue", registry=handlers)(healthy)
    return handlers


def configure(settings: kopf.OperatorSettings) -> None:
    """Nothing that kopf would do by itself: no events posted, no look at what else the API server serves."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
