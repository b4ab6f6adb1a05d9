"""Everything a user of Trireme has, on one cluster: images, the cluster, its parts, and Trireme from its chart."""

from __future__ import annotations

from pathlib import Path

from e2e import components, images
from e2e.cluster import Cluster
from e2e.helm import Release
from e2e.progress import step

REPOSITORY = Path(__file__).resolve().parent.parent
CHART = REPOSITORY / "charts" / "trireme"
NAMESPACE = "trireme-system"
PART_IMAGES = ("lws", "envoy-gateway", "envoy", "metrics-server")
OWN_IMAGES = ("operator", "runtime")
ENGINE_NODES = ("node-a", "node-b")


def up(cluster: Cluster, *, engine: str = "engine-cpu") -> None:
    """Bring the whole stack up, from whatever state it is in; what is up already is left alone.

    ``engine`` is the image target of the engine: the real one, or the double.
    """
    cluster.up()
    load(cluster, *PART_IMAGES, *OWN_IMAGES)
    components.install(cluster, wait=False)
    load(cluster, engine, nodes=ENGINE_NODES)  # the longest step, while the parts start
    components.wait_for_all(cluster)
    install_trireme(cluster)


def up_alone(cluster: Cluster) -> None:
    """Bring up a cluster with Trireme and nothing that it works with; the images of all that are there."""
    cluster.up()
    load(cluster, *PART_IMAGES, *OWN_IMAGES)
    install_trireme(cluster)


def load(cluster: Cluster, *targets: str, nodes: tuple[str, ...] = ()) -> None:
    """Build the images of ``targets`` (cached) and put them on the nodes (all, unless named)."""
    for target, archive in images.build(*targets).items():
        with step(f"load image {target}"):
            cluster.load_image(archive, nodes=nodes)


def install_trireme(
    cluster: Cluster,
    *,
    chart: Path = CHART,
    operator: Path | None = None,
    values: tuple[str, ...] = (),
    switches: tuple[str, ...] = (),
) -> None:
    """``helm upgrade --install`` of the chart with the images built here, under Pod Security ``restricted``.

    ``values`` are text, ``switches`` numbers or booleans, each ``KEY=VALUE``.
    For an earlier release: its ``chart``, and the archive of its ``operator``, which must be on the nodes.
    """
    with step("install Trireme with Helm", expected_seconds=15):
        namespace(cluster, NAMESPACE)
        # Helm installs CRDs once and never again: a cluster of yesterday gets today's this way, as users do it.
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(chart / "crds"))
        release = Release(cluster, "trireme", NAMESPACE)
        release.recover()
        # The tag stays "dev": what makes the Deployment roll is the name of the archive, which has its content's key.
        build = (operator or images.build("operator")["operator"]).parent.name
        wanted = ("image.tag=dev", "launcher.image.tag=dev", f"podAnnotations.trireme\\.dev/build={build}", *values)
        flags = [item for value in wanted for item in ("--set-string", value)]
        flags += [item for switch in switches for item in ("--set", switch)]
        release.helm("upgrade", "--install", release.name, str(chart), "--wait", "--timeout", "120s", *flags)


def namespace(cluster: Cluster, name: str) -> None:
    """A namespace that admits only pods of Pod Security ``restricted``."""
    labels = "".join(f"\n    pod-security.kubernetes.io/{mode}: restricted" for mode in ("enforce", "warn"))
    manifest = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:{labels}\n"
    cluster.kubectl("apply", "--server-side", "-f", "-", input=manifest)
