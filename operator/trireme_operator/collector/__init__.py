"""What the launchers say: their ``/statusz`` (docs/contract.md), read with bounded fan-out, taken in with care."""

from trireme_operator.collector.listening import Listening
from trireme_operator.collector.statusz import (
    ANSWER_LIMIT_BYTES,
    AnswerError,
    Canary,
    Failure,
    Heard,
    Held,
    Member,
    ServiceCanary,
    is_news,
    parse,
)

__all__ = [
    "ANSWER_LIMIT_BYTES",
    "AnswerError",
    "Canary",
    "Failure",
    "Heard",
    "Held",
    "Listening",
    "Member",
    "ServiceCanary",
    "is_news",
    "parse",
]
