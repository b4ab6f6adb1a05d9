"""The handlers: which event asks for which resource, and that kopf is told to write nothing."""

from typing import Any

import kopf
import pytest

from trireme_operator.controller import handlers
from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.queue import Key, KeyedQueue
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.controller.sink import STUCK_SECONDS, QueueSink


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> KeyedQueue:
    return KeyedQueue(clock=clock)


@pytest.fixture
def memo(queue: KeyedQueue) -> kopf.Memo:
    sink = QueueSink(queue, Metrics(queue))
    return kopf.Memo(sink=sink, problem=sink.problem, hurry=lambda: None)


def event(kind: str | None = "MODIFIED", **metadata: Any) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"namespace": "genai", "name": "x", **metadata}}}


RESOURCE = kopf.Resource("", "v1", "services")
OWNER = {"apiVersion": "trireme.dev/v1alpha1", "kind": "InferenceCluster", "name": "owner"}


@pytest.mark.parametrize("kind", [None, "ADDED", "MODIFIED", "DELETED"], ids=str)
async def test_an_event_of_a_resource_asks_for_it(queue: KeyedQueue, memo: kopf.Memo, kind: str | None) -> None:
    await handlers.on_inference_cluster(event=event(kind), memo=memo)
    assert queue.take() == Key("genai", "x")


@pytest.mark.parametrize(
    ("metadata", "want"),
    [
        pytest.param({"labels": {"trireme.dev/cluster": "llm"}}, {"llm"}, id="by its label"),
        pytest.param({"ownerReferences": [OWNER]}, {"owner"}, id="by its owner, the label was stripped"),
        pytest.param(
            {"labels": {"trireme.dev/cluster": "llm"}, "ownerReferences": [OWNER]},
            {"llm", "owner"},
            id="both, when somebody moved the label",
        ),
        pytest.param({"ownerReferences": [OWNER | {"apiVersion": "other/v1"}]}, set(), id="another API's owner"),
        pytest.param({"labels": None, "ownerReferences": None}, set(), id="nobody's object"),
    ],
)
async def test_an_event_of_a_child_asks_for_its_resource(
    queue: KeyedQueue, memo: kopf.Memo, metadata: dict[str, Any], want: set[str]
) -> None:
    await handlers.on_child(event=event("DELETED", **metadata), resource=RESOURCE, memo=memo)
    assert set(queue.known()) == {Key("genai", name) for name in want}


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("leaderworkersets.leaderworkerset.x-k8s.io", 1),
        ("httproutes.gateway.networking.k8s.io", 1),
        ("certificates.cert-manager.io", 0),
    ],
)
async def test_an_api_that_comes_or_goes_asks_for_everything(
    queue: KeyedQueue, memo: kopf.Memo, name: str, depth: int
) -> None:
    key = Key("genai", "llm")
    queue.add(key)
    assert queue.take() == key
    queue.succeeded(key, again_seconds=1000)
    await handlers.on_crd(event={"type": "ADDED", "object": {"metadata": {"name": name}}}, memo=memo)
    assert queue.depth == depth


async def test_the_probe_fails_when_no_worker_takes_keys(queue: KeyedQueue, memo: kopf.Memo, clock: Clock) -> None:
    queue.add(Key("genai", "llm"))
    assert await handlers.healthy(memo=memo) == "ok"
    clock.now = STUCK_SECONDS + 1
    with pytest.raises(kopf.PermanentError, match="waited 301 s"):
        await handlers.healthy(memo=memo)


async def _login(**_: Any) -> None:
    """Credentials play no part here."""


def test_there_are_only_event_handlers_so_kopf_never_writes() -> None:
    registry = handlers.registry(_login)
    watched = {str(handler.selector) for handler in registry._watching.get_all_handlers()}
    assert len(watched) == 8
    for kind in ("inferenceclusters", "leaderworkersets", "services", "serviceaccounts", "controllerrevisions"):
        assert any(kind in selector for selector in watched)
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()
    assert not registry._indexing.get_all_handlers()


def test_streams_are_limited_and_selected_on_the_server() -> None:
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    assert not settings.posting.enabled
    assert settings.watching.server_timeout == 300
    for kind in CHILD_KINDS:
        resource = kopf.Resource(kind.group, kind.version, kind.plural)
        assert list(settings.watching.label_selectors.collect(resource)) == ["app.kubernetes.io/managed-by=trireme"]
    pods = kopf.Resource("", "v1", "pods")
    assert list(settings.watching.label_selectors.collect(pods)) == ["trireme.dev/cluster"]
    ours = kopf.Resource("trireme.dev", "v1alpha1", "inferenceclusters")
    assert list(settings.watching.label_selectors.collect(ours)) == []
