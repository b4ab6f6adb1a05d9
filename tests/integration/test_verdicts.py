"""The offline check and a real API server say the same to the same documents."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from e2e.cluster.controlplane import ControlPlane
from tests.integration.server import Hands, connected
from tests.integration.verdicts import of_offline, of_server
from tests.rule_cases import BROKEN, broken
from tests.specs import documents
from trireme_operator.offline import judge

EXAMPLES = int(os.environ.get("TRIREME_VERDICTS", "300"))
"""How many documents; some hundreds in each run, 10 000 and more when something in the rules has changed."""

NAMESPACE = "rules"


class Server:
    """The API server for tests that are no coroutines, as hypothesis wants them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hands: Hands) -> None:
        self._loop = loop
        self._hands = hands

    def agrees(self, document: dict[str, Any]) -> bool:
        """Whether both accept the document; asserts that both say the same about it."""
        verdict = judge(document)
        ours = of_offline(verdict)
        theirs = self._loop.run_until_complete(of_server(self._hands, NAMESPACE, document, verdict.findings))
        assert ours == theirs
        return ours.accepted


@pytest.fixture(scope="module")
def server(plane: ControlPlane, rules_namespace: str) -> Iterator[Server]:
    assert rules_namespace == NAMESPACE
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    try:
        yield Server(loop, loop.run_until_complete(stack.enter_async_context(connected(plane.kubeconfig))))
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


@pytest.mark.parametrize(("where", "spec"), BROKEN, ids=str)
def test_a_broken_rule_is_refused_by_both(server: Server, where: str, spec: dict[str, Any]) -> None:
    assert not server.agrees(broken(where, spec, namespace=NAMESPACE))


@pytest.mark.timeout(3600)
def test_any_document_has_the_same_verdict(server: Server) -> None:
    seen: dict[bool, int] = {True: 0, False: 0}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a document of another seed is no smaller one
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(documents())
    def same(document: dict[str, Any]) -> None:
        seen[server.agrees(document)] += 1

    same()
    assert seen[True] > EXAMPLES / 20, f"too few good documents were made to say anything: {seen}"
    assert seen[False] > EXAMPLES / 20, f"too few bad documents were made to say anything: {seen}"
