"""``trireme render``: the objects that the operator would make."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from trireme_operator.api.labels import ANNOTATION_HASH
from trireme_operator.cli.model import fits
from trireme_operator.cli.output import Format, out, valid, write
from trireme_operator.planning import plan, weights
from trireme_operator.rendering import Settings, children


class PullPolicy(StrEnum):
    """When nodes pull the launcher's image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


def render(  # noqa: PLR0917  (typer gives each by its name)
    files: Annotated[list[str], typer.Argument(help="Files of YAML or JSON; - is standard input.", metavar="FILE...")],
    launcher_image: Annotated[
        str, typer.Option(help="The launcher's image, as the installation sets it (launcher.image in the chart).")
    ],
    launcher_pull_policy: Annotated[
        PullPolicy, typer.Option(help="When nodes pull it (launcher.image.pullPolicy in the chart).")
    ] = PullPolicy.IF_NOT_PRESENT,
    operator_namespace: Annotated[
        str, typer.Option(help="Where the operator runs; empty outside of the cluster. NetworkPolicies let it in.")
    ] = "trireme-system",
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="The namespace; by default what the file says.")
    ] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="How the objects are written.")] = Format.YAML,
) -> None:
    """Print the children of resources as the operator applies them when none exists yet.

    The owner's UID is that of metadata.uid, empty in a file that never was in a cluster. Each LeaderWorkerSet comes
    twice, as it is applied: without its number of groups, then that number alone.

    Exit codes: 0 done, 1 a resource is invalid, 2 a file can't be read or holds no resource.
    """
    settings = Settings(
        launcher_image=launcher_image,
        image_pull_policy=launcher_pull_policy.value,
        operator_namespace=operator_namespace,
    )
    found = []
    clusters = valid(files, namespace=namespace)
    fits(clusters, None)
    for cluster in clusters:
        planned = plan(cluster)
        found += children(cluster, planned, settings, weights(planned, {}))
    if output is not Format.TABLE:
        write(found, output)
        return
    table = Table("kind", "namespace", "name", "hash")
    for obj in found:
        metadata = obj["metadata"]
        digest = metadata.get("annotations", {}).get(ANNOTATION_HASH, "")
        table.add_row(obj["kind"], metadata["namespace"], metadata["name"], digest)
    out().print(table)
