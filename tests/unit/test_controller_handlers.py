"""What kopf does for us besides watching, and that it can write nothing."""

from typing import Any

import kopf
import pytest

from trireme_operator.controller import handlers
from trireme_operator.controller.liveness import STUCK_SECONDS, stuck
from trireme_operator.controller.queue import Key, KeyedQueue


async def test_the_probe_fails_when_no_worker_takes_keys() -> None:
    now = [0.0]
    queue = KeyedQueue(clock=lambda: now[0])
    memo = kopf.Memo(problem=lambda: stuck(queue))
    queue.add(Key("genai", "llm"))
    assert await handlers.healthy(memo=memo) == "ok"
    now[0] = STUCK_SECONDS + 1
    with pytest.raises(kopf.PermanentError, match="waited 301 s"):
        await handlers.healthy(memo=memo)


async def _login(**_: Any) -> None:
    """Credentials play no part here."""


def test_there_is_no_handler_of_objects_so_kopf_never_writes() -> None:
    registry = handlers.registry(_login)
    for handlers_of in (registry._watching, registry._changing, registry._spawning, registry._indexing):
        assert not handlers_of.get_all_handlers()
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    assert not settings.posting.enabled
    assert settings.scanning.disabled
