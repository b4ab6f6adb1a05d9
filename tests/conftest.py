"""Settings that all tests share."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

import trireme_operator.lean  # noqa: F401 - what it leaves out costs a second of each run
from e2e.campaign import EXAMPLES_PER_TEST
from trireme_operator.bare import IS_BARE

assert IS_BARE, "a plugin imports the whole Kubernetes package, a second of each run that nobody has a use for"

settings.register_profile("campaign", max_examples=EXAMPLES_PER_TEST, deadline=None)

# How long an example takes says how busy the machine is, and nothing of the code: speed is measured under bench/.
settings.register_profile("gate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gate")

# An eighth of the unit tests' time was the collector's, which walked through what imports and collection leave.
gc.set_threshold(200_000, 50, 100)


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
