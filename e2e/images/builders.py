"""The two programs that build images here: Docker where it answers, else buildah in a store of its own.

Both are given the same Dockerfiles, build arguments and named contexts, and both write an archive that
containerd imports: an OCI archive from buildah, the format of ``docker save`` (an OCI layout too) from Docker.
Layers are compressed lightly: an archive stays on this machine, where several nodes unpack it at once.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from e2e import cache, host
from e2e.images import base

_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_BASE_NAME = f"localhost/trireme-base:{base.SUITE}"
_COMPRESSION = ("--compression-format=zstd", "--compression-level=1")
_DAMAGED = "file integrity checksum failed"
"""What buildah says when a layer is no longer what it was when it was made."""
_DOCKER_BASE = f"debian:{base.SUITE}-slim"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One image: ``stage`` of ``dockerfile``, built in ``context`` (a directory) and called ``tag``."""

    tag: str
    dockerfile: Path
    stage: str
    context: Path
    contexts: Mapping[str, Path] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)


class Builder(Protocol):
    @property
    def identity(self) -> str:
        """What an archive depends on besides its recipe: the builder and its base image."""
        ...

    def prepare(self) -> None:
        """Make what the first build needs: the program itself and the base image."""
        ...

    def build(self, recipe: Recipe, archive: Path, log: Path) -> None:
        """Build ``recipe`` into the file ``archive``; raises ``host.CommandError`` with the end of the output."""
        ...

    def prune(self) -> None:
        """Free the layers kept for later builds; not while one runs."""
        ...


class Docker:
    """Builds with the Docker daemon; the base image is pulled by it."""

    identity = f"docker {_DOCKER_BASE}"

    def prepare(self) -> None:
        """Nothing: Docker pulls its base image when a build names it."""

    def build(self, recipe: Recipe, archive: Path, log: Path) -> None:
        argv = ["docker", "buildx", "build", "--load", "--progress=plain", "--provenance=false"]
        argv += _options(recipe, base_image=_DOCKER_BASE)
        argv += ["--build-arg", f"SOURCE_DATE_EPOCH={base.SOURCE_DATE_EPOCH}", str(recipe.context)]
        host.run(argv, log=log)
        host.run(["docker", "save", "--output", str(archive), recipe.tag])

    def prune(self) -> None:
        """Nothing: the daemon's store is not ours alone; ``docker builder prune`` empties it."""


class Buildah:
    """Builds as root with buildah; its images and containers lie in the cache, apart from the machine's own."""

    identity = " ".join(("buildah", base.SUITE, base.identity(), *_COMPRESSION))

    def prepare(self) -> None:
        host.require_root()
        host.ensure_packages("buildah")
        with cache.locked(cache.entry("images", "buildah")):
            self._ensure_base()

    def build(self, recipe: Recipe, archive: Path, log: Path) -> None:
        options = ["--isolation=chroot", "--layers", "--force-rm", "--pull=never"]
        options += [f"--timestamp={base.SOURCE_DATE_EPOCH}", *_options(recipe, base_image=_BASE_NAME)]
        host.run(self._argv("build", *options, str(recipe.context)), log=log)
        try:
            self._push(recipe, archive)
        except host.CommandError as error:
            if _DAMAGED not in error.output:
                raise
            # Something else has changed a file in the store of layers. Made anew, a layer has the name that it had, and
            # the store would go on with the one that it knows.
            self._run("rm", "--all")
            self._run("rmi", "--all", "--force")
            self._ensure_base()
            host.run(self._argv("build", *options, str(recipe.context)), log=log)
            self._push(recipe, archive)

    def _push(self, recipe: Recipe, archive: Path) -> None:
        archive.unlink(missing_ok=True)  # of a push that failed
        self._run("push", *_COMPRESSION, recipe.tag, f"oci-archive:{archive}:{recipe.tag}")

    def prune(self) -> None:
        self._run("rm", "--all")  # of builds that were killed
        self._run("rmi", "--prune")

    def _ensure_base(self) -> None:
        tarball = base.tarball()
        label = f"dev.trireme.base={tarball.parent.name}"
        if self._run("images", "--quiet", "--filter", f"label={label}").strip():
            return
        container = self._run("from", "scratch").strip()
        try:
            self._run("add", container, str(tarball), "/")
            self._run("config", "--label", label, "--cmd", "/bin/bash", container)
            self._run("commit", f"--timestamp={base.SOURCE_DATE_EPOCH}", container, _BASE_NAME)
        finally:
            self._run("rm", container)

    def _run(self, *args: str) -> str:
        return host.run(self._argv(*args))

    @staticmethod
    def _argv(command: str, *args: str) -> list[str]:
        store = cache.entry("images", "buildah")
        stores = [f"--root={store / 'store'}", f"--runroot={store / 'run'}", "--storage-driver=overlay"]
        return ["buildah", *stores, command, *args]


def _options(recipe: Recipe, *, base_image: str) -> Sequence[str]:
    """The options that both builders spell alike."""
    options = ["--file", str(recipe.dockerfile), "--target", recipe.stage, "--tag", recipe.tag]
    arguments = {"BASE_IMAGE": base_image, **recipe.arguments}
    for name in _PROXIES:
        for spelled in (name, name.upper()):
            if spelled in os.environ:
                arguments[spelled] = os.environ[spelled]
    for name, value in arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    for name, path in recipe.contexts.items():
        options += ["--build-context", f"{name}={path}"]
    return options


@functools.cache
def choose() -> Builder:
    """Docker where its daemon answers, else buildah (which wants root)."""
    return Docker() if docker_answers() else Buildah()


def docker_answers() -> bool:
    try:
        host.run(["docker", "version", "--format", "{{.Server.Version}}"])
    except (OSError, host.CommandError):
        return False
    return True
