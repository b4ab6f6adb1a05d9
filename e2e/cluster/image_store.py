"""Images of a containerd: what an archive holds, what a store has, and what is therefore still to be loaded."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

NAMESPACE = "k8s.io"
"""The containerd namespace in which Kubernetes looks for images."""

_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class ImageError(ValueError):
    """A file is no image archive that could be loaded."""


def archived(archive: Path) -> dict[str, str]:
    """The images of an OCI archive: digests ("sha256:...") by name; empty for a docker-archive, which has no digests.

    Raises:
        ImageError: the file is no image archive.

    """
    try:
        with tarfile.open(archive) as tar:
            names = set(tar.getnames())
            member = next((name for name in ("index.json", "./index.json") if name in names), None)
            if member is None and not names & {"manifest.json", "./manifest.json"}:
                raise ImageError(f"{archive} holds neither index.json nor manifest.json: give an OCI or docker archive")
            file = tar.extractfile(member) if member else None
            index = json.load(file) if file else {}
    except (OSError, tarfile.TarError) as error:
        raise ImageError(f"{archive} is no image archive: {error}") from error
    images = {}
    for manifest in index.get("manifests", []):
        annotations = manifest.get("annotations", {})
        name = next((annotations[key] for key in _NAMES if key in annotations), None)
        if name is not None:
            images[name] = manifest["digest"]
    return images


def listed(output: str) -> dict[str, str]:
    """The images in what ``ctr images list`` prints: digests by name."""
    rows = (line.split(maxsplit=3) for line in output.splitlines()[1:])
    return {name: digest for name, _type, digest, *_rest in rows}


def complete(wanted: dict[str, str], present: dict[str, str]) -> bool:
    """Whether a store with the images ``present`` has all that are ``wanted``, with the same content."""
    return bool(wanted) and all(present.get(name) == digest for name, digest in wanted.items())
