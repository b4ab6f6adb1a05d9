"""``spec.restarts``: how soon and how often a group that failed is started again."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from trireme_operator.api.base import Model

WINDOW_SECONDS: Final = 1800
BACKOFF_SECONDS: Final = 10
"""The defaults, which are not stored: rules and plan apply them."""


class Restarts(Model):
    """Bounds the starts of groups that fail. A group starts again after a delay that doubles with each failure, and
    after too many failures it is held. Failures of an earlier template don't count, and a group that has gone without
    a failure for as long as the window starts from nothing.
    """

    limit: Annotated[int, Field(ge=0, le=20)] | None = None
    """Failures of a group within the window after which it is held: it loads nothing until the oldest of them is
    older than the window. 0: never held. Default: 5."""

    window_seconds: Annotated[int, Field(ge=60, le=86400)] | None = None
    """Seconds for which a failure counts. Default: 1800."""

    backoff_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Seconds from a group's first failure to its next start; doubled by each further failure within the window, up to
    5 minutes or to this, whichever is more. What the recreation of pods takes is a part of it. 0: no delay. Default:
    10."""
