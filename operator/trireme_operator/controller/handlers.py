"""What kopf tells the operator, turned into keys of the queue: this module and nothing else knows kopf's decorators.

Every handler is an `on.event` handler: it sees each event and every object at start and after each relist, writes
nothing (no annotation, no finalizer), and only says which resource should be looked at. Errors in such a handler are
logged and dropped by kopf, which is why there is no work in them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import kopf

from trireme_operator.api.labels import LABEL_CLUSTER, MANAGED_BY
from trireme_operator.controller.discovery import NEEDED
from trireme_operator.controller.queue import Key
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import INFERENCE_CLUSTER, POD, Kind

CRD = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
_CRDS_WE_NEED = frozenset(str(kind) for kind in NEEDED)


_ERROR_BACKOFFS_SECONDS = (1, 1, 2, 3, *(5,) * 60)
"""A stream is back at most 5 s after the API server is; after five minutes without one, a new process starts."""


class Sink(Protocol):
    """Where the handlers put what they learn."""

    def enqueue(self, key: Key) -> None:
        """Look at this resource soon."""
        ...

    def enqueue_all(self) -> None:
        """Look at every known resource soon."""
        ...

    def saw(self, kind: str, event_type: str | None) -> None:
        """An event of this kind came (None: an object of the initial list)."""
        ...


async def on_inference_cluster(*, event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """The resource itself changed, came or went."""
    metadata = _metadata(event)
    _saw(memo.sink, INFERENCE_CLUSTER, event)
    memo.sink.enqueue(Key(metadata["namespace"], metadata["name"]))


async def on_child(*, event: Mapping[str, Any], resource: kopf.Resource, memo: kopf.Memo, **_: Any) -> None:
    """A child or a pod changed: its resource is named by the label, or by the owner where the label was stripped."""
    metadata = _metadata(event)
    memo.sink.saw(resource.plural, event.get("type"))
    for name in {_label(metadata), *_owners(metadata)} - {None}:
        memo.sink.enqueue(Key(metadata["namespace"], str(name)))


async def on_crd(*, event: Mapping[str, Any], memo: kopf.Memo, **_: Any) -> None:
    """An API that the children need came or went: any resource may have been waiting for it."""
    _saw(memo.sink, CRD, event)
    if _metadata(event).get("name") in _CRDS_WE_NEED:
        memo.sink.enqueue_all()
        memo.hurry()


async def healthy(*, memo: kopf.Memo, **_: Any) -> str:
    """The liveness probe. Raises PermanentError, because kopf retries any other error inside the request."""
    problem = memo.problem()
    if problem:
        raise kopf.PermanentError(problem)
    return "ok"


def registry(login: Callable[..., Any]) -> kopf.OperatorRegistry:
    """A registry of our own, so that nothing else in the process can add handlers to it."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(login)
    kopf.on.probe(id="queue", registry=handlers)(healthy)
    _watch(handlers, INFERENCE_CLUSTER, on_inference_cluster)
    for kind in (*CHILD_KINDS, POD):
        _watch(handlers, kind, on_child)
    _watch(handlers, CRD, on_crd)
    return handlers


def configure(settings: kopf.OperatorSettings) -> None:
    """Settings against known traps of kopf: silent streams, unbounded lists, writes to our objects."""
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _ERROR_BACKOFFS_SECONDS
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.watching.chunk_size = 500
    settings.persistence.finalizer = "trireme.dev/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="trireme.dev")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="trireme.dev")
    managed = "=".join(MANAGED_BY)
    for kind in CHILD_KINDS:
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = managed
    # Pods are labelled by their template, which is the contract's; they carry no managed-by label.
    settings.watching.label_selectors[POD.group, POD.version, POD.plural] = LABEL_CLUSTER


def _watch(handlers: kopf.OperatorRegistry, kind: Kind, function: Any) -> None:
    kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers)(function)


def _saw(sink: Sink, kind: Kind, event: Mapping[str, Any]) -> None:
    sink.saw(kind.plural, event.get("type"))


def _metadata(event: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = event["object"]["metadata"]
    return metadata


def _label(metadata: Mapping[str, Any]) -> str | None:
    value = (metadata.get("labels") or {}).get(LABEL_CLUSTER)
    return str(value) if value else None


def _owners(metadata: Mapping[str, Any]) -> Iterable[str]:
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("kind") == INFERENCE_CLUSTER.kind and owner.get("apiVersion") == INFERENCE_CLUSTER.api_version:
            yield str(owner["name"])
