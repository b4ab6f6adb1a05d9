"""The demo's path with the real engine and a real model: gateway, route, zone Service, leader, every rank, answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from e2e import reach, resources
from e2e.api import Api, Obj, wait_until
from e2e.cluster import Cluster
from e2e.demo import __main__ as run

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("engine_loading"), pytest.mark.timeout(900)]

QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": "What is the capital of France?"}
SAMPLES = ("smollm2", "smollm2-tp3")
MOST_REQUESTS = 120
"""A zone with a tenth of the traffic gets none of so many once in 300 000 times."""


@pytest.fixture(scope="module")
def serving(cluster: Cluster, kube: Api) -> Iterator[str]:
    """The address of the gateway, when both samples are ready beside each other."""
    run.apply(cluster)  # again: the Gateway went when its API was removed
    for name in SAMPLES:
        resources.wait_for(kube, run.NAMESPACE, name, "Ready", seconds=600)
    service = run.gateway_service(kube)["metadata"]
    with reach.forward(cluster, namespace=service["namespace"], target=f"service/{service['name']}", port=80) as url:
        yield url
    # Seven processes of vLLM hold memory that the tests after these need.
    cluster.kubectl("delete", "inferenceclusters", *SAMPLES, "--namespace", run.NAMESPACE)


@pytest.fixture(params=SAMPLES)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(serving: str, kube: Api, model: str) -> OpenAI:
    """The OpenAI client as users have it, pointed at the gateway, with the host name of the model's route."""
    route = kube.get(f"/apis/gateway.networking.k8s.io/v1/namespaces/{run.NAMESPACE}/httproutes/{model}")
    headers = {"Host": route["spec"]["hostnames"][0]}
    return OpenAI(base_url=f"{serving}/v1", api_key="none", default_headers=headers, timeout=120, max_retries=0)


def test_a_completion_comes_from_the_model(client: OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt="The capital of France is", max_tokens=8, temperature=0)
    assert "Paris" in answer.choices[0].text


def test_a_chat_is_answered(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=[QUESTION], max_tokens=24, temperature=0)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage
    assert answer.usage.completion_tokens > 1


def test_a_chat_is_streamed_token_by_token(client: OpenAI, model: str) -> None:
    stream = client.chat.completions.create(model=model, messages=[QUESTION], max_tokens=24, temperature=0, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "Paris" in "".join(pieces)
    assert len([piece for piece in pieces if piece]) > 3


def test_both_zones_answer_and_their_counters_say_so(serving: str, kube: Api) -> None:
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{run.NAMESPACE}/httproutes/smollm2"
    # A zone that was out while seven processes were loading comes back by steps: its share may be small for a minute.
    wait_until(lambda: all(_weights(kube.get(path))), timeout_seconds=120, what="each zone to have some of the traffic")
    headers = {"Host": kube.get(path)["spec"]["hostnames"][0]}
    client = OpenAI(base_url=f"{serving}/v1", api_key="none", default_headers=headers, timeout=120, max_retries=0)
    before, sent = run.requests_by_zone(kube), 0
    grown = dict.fromkeys(before, 0.0)
    while not all(grown.values()):
        assert sent < MOST_REQUESTS, grown
        for _ in range(12):
            client.completions.create(model="smollm2", prompt="One", max_tokens=1, temperature=0)
        sent += 12
        grown = {zone: count - before[zone] for zone, count in run.requests_by_zone(kube).items()}
    assert sum(grown.values()) == sent


def _weights(route: Obj) -> list[int]:
    return [backend["weight"] for rule in route["spec"]["rules"] for backend in rule["backendRefs"]]


def test_every_rank_runs_in_a_pod_of_its_own(serving: str, kube: Api, model: str) -> None:
    assert serving
    pods = resources.pods(kube, run.NAMESPACE, model)
    expected = {"smollm2": {"zone-a": 2, "zone-b": 2}, "smollm2-tp3": {"zone-b": 3}}[model]
    zones = [pod["metadata"]["labels"]["trireme.dev/zone"] for pod in pods]
    assert {zone: zones.count(zone) for zone in set(zones)} == expected
