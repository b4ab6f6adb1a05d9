"""What ``spec.model.source`` names, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SourceKind(StrEnum):
    """Kinds of sources, by the scheme in front; a path has none."""

    HUB = "hf"
    CLAIM = "pvc"
    S3 = "s3"
    GCS = "gs"
    IMAGE = "oci"
    PATH = ""


@dataclass(frozen=True)
class Source:
    """A source.

    ``name`` is the repository of the hub, the claim, the image's reference, the object store's whole URL, or the path
    in the engine's image. ``path`` is the directory inside a claim or an image, without a slash around it and empty for
    its root; ``revision`` the commit, branch or tag of the hub, or empty.
    """

    kind: SourceKind
    name: str
    path: str = ""
    revision: str = ""


def source_of(text: str) -> Source:
    """Take a source apart. Its form was checked before (``api.rules_model``); what has no known scheme is a path."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in set(SourceKind):
        return Source(SourceKind.PATH, text)
    match kind := SourceKind(scheme):
        case SourceKind.HUB:
            name, _, revision = rest.partition("@")
            return Source(kind, name, revision=revision)
        case SourceKind.CLAIM:
            name, _, path = rest.partition("/")
            return Source(kind, name, path=path.strip("/"))
        case SourceKind.IMAGE:
            name, _, path = rest.partition("//")
            return Source(kind, name, path=path.strip("/"))
        case _:
            return Source(kind, text)
