"""A completion through the zone's Service: asked for by the operator, answered in /statusz."""

from __future__ import annotations

import json
import threading
import urllib.request
from dataclasses import replace

import pytest

from tests.unit.pod_environment import VARIABLES
from tests.unit.pods import free_port, until
from tests.unit.test_contract_launcher import full_status, status
from trireme_runtime import environment
from trireme_runtime.health import Health
from trireme_runtime.server import Server
from trireme_runtime.service_canary import ServiceCanary, service_host

POD = environment.parse(VARIABLES)


class Service:
    """Completions that end when and as a test wants; the clock is the test's."""

    def __init__(self) -> None:
        self.tries = 0
        self.error: Exception | None = None
        self.now = 0.0
        self.open = threading.Event()
        self.open.set()
        self.canary = ServiceCanary(self.complete, clock=lambda: self.now)

    def complete(self) -> None:
        self.tries += 1
        assert self.open.wait(10)
        if self.error is not None:
            raise self.error

    def ask(self, question: str) -> None:
        """And wait for the answer."""
        self.canary.ask(question)
        until(lambda: self.said("passed") is not None, "there is an answer")

    def said(self, name: str) -> object:
        return self.canary.as_json()[name]


def test_a_question_is_answered_once() -> None:
    service = Service()
    assert (service.said("question"), service.said("passed")) == ("", None)
    service.ask("17")
    assert (service.said("question"), service.said("passed"), service.said("reason")) == ("17", True, "")
    service.ask("17")
    assert service.tries == 1
    service.ask("18")
    until(lambda: service.tries == 2, "another question is another try")


def test_a_try_that_failed_is_made_again_when_it_is_asked_for_again() -> None:
    service = Service()
    service.error = ValueError("no answer from llm-a-http")
    service.ask("17")
    assert (service.said("passed"), service.said("reason")) == (False, "no answer from llm-a-http")
    service.ask("17")
    assert service.tries == 1, "not at once"
    service.now, service.error = 3.0, None
    service.canary.ask("17")
    until(lambda: service.said("passed") is True, "it passes")
    assert service.tries == 2


def test_one_try_runs_at_a_time_and_its_question_is_unanswered_meanwhile() -> None:
    service = Service()
    service.open.clear()
    for question in ("17", "17", "18"):
        service.canary.ask(question)
    until(lambda: service.tries == 1, "a try runs")
    assert (service.said("question"), service.said("passed")) == ("17", None)
    service.open.set()
    until(lambda: service.said("passed") is True, "it passes")
    assert (service.tries, service.said("question")) == (1, "17")


@pytest.mark.parametrize("question", ["", "a b", "../x", "x" * 65, "%0a"])
def test_what_is_no_word_is_no_question(question: str) -> None:
    service = Service()
    service.canary.ask(question)
    assert (service.tries, service.said("question")) == (0, "")


def test_the_service_is_that_of_the_pods_zone() -> None:
    leader = replace(POD, leader_address="llama-zone-a-12.llama-zone-a.genai", pod_namespace="genai")
    assert service_host(leader) == "llama-zone-a-http.genai.svc"


def test_only_a_leader_with_a_canary_can_be_asked() -> None:
    for pod, able in (
        (POD, True),
        (replace(POD, canary_tokens=0), False),
        (replace(POD, worker_index=1, group_size=2), False),
    ):
        health = Health(pod, None)
        health.ask_service("17")
        health.watch_engine(["vllm", "serve"], {})
        assert (health.service_canary is not None) is able


def test_the_question_comes_by_statusz_and_the_answer_says_what_is_known() -> None:
    asked: list[str] = []
    port = free_port()
    said = replace(full_status(), published=0.0)
    server = Server("127.0.0.1", port, status=lambda: said, metrics=str, ask=asked.append)
    server.start()
    for path in ("/statusz", "/statusz?canary=17", "/statusz?other=18", "/readyz?canary=19"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            body = answer.read()
        if path.startswith("/statusz"):
            assert json.loads(body)["serviceCanary"]["question"] == ""
    assert asked == ["17"]
    assert json.loads(status().as_json())["serviceCanary"] is None
