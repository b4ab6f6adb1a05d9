"""The golden cases: ``<case>/input.yaml`` is a resource, ``<case>/expected.yaml`` all that is rendered from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from trireme_operator import rendering
from trireme_operator.api import parse
from trireme_operator.planning import plan, revision_name, weights

Obj = dict[str, Any]

FOLDER = Path(__file__).parent
CASES = sorted(path.parent.name for path in FOLDER.glob("*/input.yaml"))
SETTINGS = rendering.Settings(launcher_image="ghcr.io/trireme/runtime:0.1.0")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (objects that are shared are written out each time)
        return True


def rendered(case: str) -> list[Obj]:
    """Every child of a case's resource, when one zone after the other has all its groups ready."""
    cluster = parse(yaml.safe_load((FOLDER / case / "input.yaml").read_text()))
    planned, revision = plan(cluster), revision_name(cluster)
    template = rendering.render_template(cluster, planned, SETTINGS)
    children = [rendering.service_account(cluster, planned)]
    children.append(rendering.controller_revision(cluster, name=revision, number=1, template=template))
    for zone in planned.zones:
        children.append(rendering.leader_worker_set(cluster, planned, zone, revision_name=revision, template=template))
        children.append(rendering.lws_replicas(cluster, zone))
        if planned.zoned:
            children.append(rendering.zone_service(cluster, planned, zone))
    children.append(rendering.service(cluster, planned))
    if cluster.spec.gateway is not None:
        first = planned.zones[0]
        weighed = weights(planned, ready={first.name: first.replicas}, live=None)
        children.append(rendering.http_route(cluster, planned, weighed))
    return children


def expected_path(case: str) -> Path:
    return FOLDER / case / "expected.yaml"


def text(case: str) -> str:
    """What ``expected.yaml`` of the case should be."""
    return yaml.dump_all(rendered(case), Dumper=_Dumper, sort_keys=False, width=120)
