"""Upstream manifests on their way into a cluster: rendered, placed in the platform's zone, applied."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from e2e import cache
from e2e.cluster import Cluster
from e2e.host import CommandError
from e2e.toolchain import module_dir
from e2e.versions import versions

PLATFORM_ZONE = "zone-c"
FIELD_MANAGER = "trireme-e2e"
MANIFESTS = Path(__file__).with_name("manifests")
BUILD_ANNOTATION = "trireme.dev/build"
CONTENT_LABEL = "trireme.dev/content"

_DEFINITION = "CustomResourceDefinition"

Object = dict[str, Any]


class ComponentError(RuntimeError):
    """A part of the cluster was installed but does not come up."""


def remembered(name: str, inputs: Sequence[str | Path], render: Callable[[], list[Object]]) -> list[Object]:
    """What ``render`` returned when it last ran for these inputs (texts, files), kept in the cache.

    An upstream release never changes, and reading it takes a download, kustomize and megabytes of YAML.
    """
    target = cache.entry("manifests", f"{name}-{cache.key(*inputs)}")
    with cache.building(target) as scratch:
        if scratch is not None:
            (scratch / "objects.json").write_text(json.dumps(render()))
    items: list[Object] = json.loads((target / "objects.json").read_text())
    return items


def kustomized(cluster: Cluster, *, module: str, part: str, folder: str) -> list[Object]:
    """The objects of the kustomize ``folder`` of a Go module with ``manifests/<part>.yaml`` on top.

    ``part`` is also the module's row in versions.toml.
    """
    version = versions().binaries[part]
    overlay = MANIFESTS / f"{part}.yaml"

    def render() -> list[Object]:
        return _kustomize(cluster, base=module_dir(module, version) / folder, overlay=overlay)

    return remembered(part, [module, version, folder, overlay], render)


def _kustomize(cluster: Cluster, *, base: Path, overlay: Path) -> list[Object]:
    """Run kustomize in a temporary folder that joins the two.

    It takes bases by relative path only, and this one lies in Go's module cache, somewhere else on every machine.
    """
    with tempfile.TemporaryDirectory(prefix="trireme-") as directory:
        # Without resolving links "../" would start somewhere else than kustomize does.
        folder = Path(directory).resolve()
        kustomization = yaml.safe_load(overlay.read_text())
        kustomization["resources"] = [os.path.relpath(base.resolve(), folder)]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return objects(cluster.kubectl("kustomize", str(folder)))


def objects(text: str) -> list[Object]:
    """The objects in a YAML stream, empty documents left out."""
    return [item for item in yaml.load_all(text, Loader=_Loader) if item]


def placed(items: list[Object], *, build: str) -> list[Object]:
    """The objects with every Deployment in the platform's zone, its pods marked with what their image holds.

    All images have the same tag, so the mark is what makes a Deployment roll out after a rebuild.
    """
    for item in items:
        if item["kind"] == "Deployment":
            template = item["spec"]["template"]
            template["spec"]["affinity"] = platform_affinity()
            annotations = template.setdefault("metadata", {}).setdefault("annotations", {})
            annotations[BUILD_ANNOTATION] = build
    return items


def platform_affinity() -> Object:
    """A pod's affinity for the platform's zone, as a preference."""
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [PLATFORM_ZONE]}
    term = {"weight": 100, "preference": {"matchExpressions": [zone]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


def apply(cluster: Cluster, items: list[Object]) -> None:
    """Server-side apply, taking fields over from whoever changed them by hand.

    kubectl would ask for all schemas first, which a busy API server needs half a minute to put together when
    definitions have just changed; these objects are released ones, which others have validated.
    """
    flags = ("--server-side", "--force-conflicts", "--validate=false", f"--field-manager={FIELD_MANAGER}")
    cluster.kubectl("apply", *flags, "-f", "-", input=dump(items))


def delete(cluster: Cluster, items: list[Object]) -> None:
    """Delete the objects that exist and wait until they are gone."""
    if items:
        cluster.kubectl("delete", "--ignore-not-found", "--wait", "--timeout=120s", "-f", "-", input=dump(items))


def dump(items: list[Object]) -> str:
    """The objects as one List, in JSON: the CRDs are megabytes, and kubectl needs seconds for as much YAML."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def apply_definitions(cluster: Cluster, items: list[Object]) -> None:
    """Apply the CRDs among the objects that are missing or from another release, and wait until all are served.

    Each carries a label with the hash of what was applied: comparing is one small request, while the API server
    needs ten seconds to find that megabytes of schemas have not changed.
    """
    wanted = {name(item): _labelled(item) for item in items if item["kind"] == _DEFINITION}
    listed = cluster.kubectl("get", _DEFINITION, f"--label-columns={CONTENT_LABEL}", "--no-headers")
    present = {words[0]: words[-1] for line in listed.splitlines() if (words := line.split())}
    stale = [item for key, item in wanted.items() if present.get(key) != item["metadata"]["labels"][CONTENT_LABEL]]
    if stale:
        apply(cluster, stale)
        served = [f"{_DEFINITION}/{name(item)}" for item in stale]
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *served)


def _labelled(item: Object) -> Object:
    content = cache.key(json.dumps(item, sort_keys=True))
    labels = {**item["metadata"].get("labels", {}), CONTENT_LABEL: content}
    return {**item, "metadata": {**item["metadata"], "labels": labels}}


def others(items: list[Object]) -> list[Object]:
    """The objects that are no CRDs."""
    return [item for item in items if item["kind"] != _DEFINITION]


def rolled_out(cluster: Cluster, deployment: str, *, namespace: str, seconds: int = 120) -> None:
    """Wait until every pod of a Deployment is of its newest template and ready.

    Raises:
        ComponentError: not within ``seconds``; says what its pods are waiting for.

    """
    try:
        cluster.kubectl(
            "rollout", "status", f"deployment/{deployment}", f"--namespace={namespace}", f"--timeout={seconds}s"
        )
    except CommandError as error:
        pods = cluster.kubectl("get", "pods", f"--namespace={namespace}", "--output=wide")
        events = cluster.kubectl("events", f"--namespace={namespace}", "--types=Warning")
        raise ComponentError(
            f"{namespace}/{deployment} is not ready after {seconds} s. Pods:\n{pods}\nWarnings:\n{events}\n"
            "ErrImageNeverPull or ErrImagePull: build and load its image (python -m e2e.images, e2e.cluster load-image)"
        ) from error


def name(item: Mapping[str, Any]) -> str:
    """``metadata.name``."""
    return str(item["metadata"]["name"])


# libyaml where it was compiled in: plain Python needs ten seconds for the CRDs.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
