"""Changes that the command line makes to a resource: what they are, who else keeps it, and how they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trireme_operator.api.labels import ANNOTATION_RENDERING, FIELD_MANAGER_CLI

if TYPE_CHECKING:
    from trireme_operator.kube import UserApi

Obj = dict[str, Any]

_ANNOTATIONS: Final = "/metadata/annotations"
_KEEPERS: Final = {
    "argocd": "Argo CD",
    "kustomize-controller": "Flux",
    "kustomize.toolkit.fluxcd.io": "Flux",
    "helm-controller": "Flux",
    "helm.toolkit.fluxcd.io": "Flux",
    "helm.sh": "Helm",
    "meta.helm.sh": "Helm",
}


def unchanged(raw: Obj) -> list[Obj]:
    """Operations that fail when the resource is another one by now, or its spec was edited in between."""
    metadata = raw["metadata"]
    return [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/generation", "value": metadata["generation"]},
    ]


def spec_edits(before: Obj, after: Obj) -> list[Obj]:
    """The operations from one spec to another, one a field of the spec."""
    found: list[Obj] = [{"op": "remove", "path": f"/spec/{field}"} for field in sorted(before.keys() - after.keys())]
    return found + [
        {"op": "add", "path": f"/spec/{field}", "value": value}
        for field, value in sorted(after.items())
        if field not in before or before[field] != value
    ]


def rendering_edits(raw: Obj, chosen: str | None) -> list[Obj]:
    """The operations that make a later rendering the chosen one, or for None the first one."""
    return annotation_edits(raw, ANNOTATION_RENDERING, chosen)


def annotation_edits(raw: Obj, name: str, value: str | None) -> list[Obj]:
    """The operations that give an annotation this value, or with None take it away; none when that is so already."""
    annotations = raw["metadata"].get("annotations")
    path = f"{_ANNOTATIONS}/{name.replace('/', '~1')}"
    if (annotations or {}).get(name) == value:
        return []
    if value is None:
        return [{"op": "remove", "path": path}]
    if annotations is None:
        return [{"op": "add", "path": _ANNOTATIONS, "value": {name: value}}]
    return [{"op": "add", "path": path, "value": value}]


def keeper(raw: Obj) -> str | None:
    """What else writes this resource from a source of its own, as its metadata tells; None when nothing does."""
    metadata = raw["metadata"]
    marks = [*(metadata.get("labels") or {}), *(metadata.get("annotations") or {})]
    marks += [str(entry.get("manager")) for entry in metadata.get("managedFields") or []]
    return next((who for mark in marks for start, who in _KEEPERS.items() if mark.startswith(start)), None)


async def send(api: UserApi, raw: Obj, operations: list[Obj], *, dry_run: bool) -> Obj:
    """Apply the operations to the resource as it was read. Raises the client's errors."""
    from trireme_operator.kube import INFERENCE_CLUSTER  # noqa: PLC0415 - see `cluster.ask`

    metadata = raw["metadata"]
    return await api.edit(
        INFERENCE_CLUSTER,
        metadata["namespace"],
        metadata["name"],
        [*unchanged(raw), *operations],
        manager=FIELD_MANAGER_CLI,
        dry_run=dry_run,
    )
