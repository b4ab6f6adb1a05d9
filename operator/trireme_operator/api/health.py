"""``spec.health``: when a group leaves rotation, when it is ended, and what proves it before it serves."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from trireme_operator.api.base import Model

MEMBER_SILENT_SECONDS: Final = 3
MEMBER_LOST_SECONDS: Final = 30
"""The defaults, which are not stored: rules and plan apply them."""


class CanaryMode(StrEnum):
    """No word that YAML 1.1 takes for a boolean, as it does On and Off."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Canary(Model):
    """A tiny completion through a group's own engine before it gets its first request. It counts in the engine's own
    metrics as any request does.
    """

    mode: CanaryMode | None = None
    """`Enabled` (the default): a group is ready only after a completion. `Disabled`: as soon as its engine says that it
    is healthy; for models that complete no text, such as embeddings."""

    max_tokens: Annotated[int, Field(ge=1, le=64)] | None = None
    """Tokens that it asks for. Default: 1."""


class Health(Model):
    """When a group leaves rotation and when it is ended. The pods of a group ask each other once a second."""

    member_silent_seconds: Annotated[int, Field(ge=2, le=600)] | None = None
    """Seconds without an answer of a pod, or of an engine's `/health`, after which its group gets no more requests. It
    is back with the next answer. Default: 3."""

    member_lost_seconds: Annotated[int, Field(ge=3, le=86400)] | None = None
    """Seconds without an answer after which the whole group is ended and recreated, which loads the model anew; longer
    than the interruptions of the network that are worth waiting for. A pod that is proven dead is not waited for.
    Default: 30."""

    stall_seconds: Annotated[int, Field(ge=10, le=86400)] | None = None
    """Seconds for which requests may run without the engine ending a single step, after which the group is ended and
    recreated; longer than the longest step. Default: 60."""

    canary: Canary | None = None
    """The completion that proves a group. Absent: the defaults of its fields."""
