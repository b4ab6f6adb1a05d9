"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import settings

from e2e.campaign import EXAMPLES_PER_TEST

settings.register_profile("campaign", max_examples=EXAMPLES_PER_TEST, deadline=None)
