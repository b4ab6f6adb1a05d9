"""From what the API server hands out to the typed resource."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trireme_operator.api.network_policy import violations as policy_violations
from trireme_operator.api.pod_overlay import violations as overlay_violations
from trireme_operator.api.resource import InferenceCluster
from trireme_operator.api.service import violations as service_violations
from trireme_operator.api.violations import InvalidResource, Violation

_SHOWN_CHARACTERS = 80


def parse(raw: Mapping[str, Any]) -> InferenceCluster:
    """Read a resource and judge it; its status is not looked at.

    Types, bounds and names of fields are checked as the schema has them (an old API server or a client that switched
    validation off may let others through), and what the schema can't see: the inside of ``podTemplate``. The rules in
    CEL are the API server's.

    Raises:
        InvalidResource: with every violation found.

    """
    cluster = read(raw)
    found = (
        *overlay_violations(cluster.spec),
        *policy_violations(cluster.spec.network_policy),
        *service_violations(cluster.spec.service),
    )
    if found:
        raise InvalidResource(*found)
    return cluster


def read(raw: Mapping[str, Any]) -> InferenceCluster:
    """Read a resource that was judged before, perhaps by an earlier version with other rules.

    What is in its ``podTemplate`` may not be rendered, only what was stored when it was judged.

    Raises:
        InvalidResource: it is not of this version's schema.

    """
    document = {key: value for key, value in raw.items() if key != "status"}
    try:
        # By way of JSON, because strict Python input would want enums and tuples that JSON doesn't have.
        return InferenceCluster.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise InvalidResource(*(_violation(detail) for detail in error.errors(include_url=False))) from None


def _violation(detail: ErrorDetails) -> Violation:
    path = ""
    for part in detail["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    match detail["type"]:
        case "extra_forbidden":
            return Violation(path, "there is no such field: check its spelling and where it stands")
        case "missing":
            return Violation(path, "must be set")
    value = json.dumps(detail["input"], default=str)
    shown = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "..."
    return Violation(path or "resource", f"{shown}: {detail['msg']}")
