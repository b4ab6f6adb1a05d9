"""What several modules of unit tests stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.reconcile_world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for obj in world.kube.objects.values():
        assert not obj["metadata"].get("finalizers"), "the operator adds no finalizer"
