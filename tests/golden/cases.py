"""The golden cases: ``<case>/input.yaml`` is a resource, ``<case>/expected.yaml`` all that is rendered from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from trireme_operator import rendering
from trireme_operator.api import parse
from trireme_operator.planning import ZoneFacts, plan, weights

Obj = dict[str, Any]

FOLDER = Path(__file__).parent
CASES = sorted(path.parent.name for path in FOLDER.glob("*/input.yaml"))
SETTINGS = rendering.Settings(launcher_image="ghcr.io/trireme/runtime:0.1.0", operator_namespace="trireme-system")


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (objects that are shared are written out each time)
        return True


def rendered(case: str) -> list[Obj]:
    """Every child of a case's resource, when one zone after the other has all its groups ready."""
    cluster = parse(yaml.safe_load((FOLDER / case / "input.yaml").read_text()))
    planned = plan(cluster)
    first = planned.zones[0]
    weighed = weights(planned, {first.name: ZoneFacts(ready=first.replicas)})
    return rendering.children(cluster, planned, SETTINGS, weighed)


def expected_path(case: str) -> Path:
    return FOLDER / case / "expected.yaml"


def text(case: str) -> str:
    """What ``expected.yaml`` of the case should be."""
    return yaml.dump_all(rendered(case), Dumper=_Dumper, sort_keys=False, width=120)
