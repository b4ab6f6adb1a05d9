"""Binding the pods of a stored template to their zone, and the way back.

The way back is for a lost revision: the LeaderWorkerSet that runs it is then the only copy of its template. Whatever
`place` puts into a template `unplace` has to take out; a test goes there and back over every golden case.

Stored templates of every version go through `place`: whatever else it did to one would restart the groups of everybody
who upgrades. What is new on pods belongs into the template.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from trireme_operator.api.labels import LABEL_ZONE, LWS_LABEL_GROUP_INDEX, LWS_LABEL_NAME, TOPOLOGY_ZONE
from trireme_operator.api.pod_overlay import ENGINE
from trireme_operator.planning import ZonePlan
from trireme_operator.rendering.metadata import Obj

TEMPLATES: Final = ("leaderTemplate", "workerTemplate")

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_ZONE_VARIABLE: Final = "TRIREME_ZONE"


def place(template: Obj, zone: ZonePlan, *, pods: int) -> None:
    """Bind a pod to its zone; without zones, bind the pods of each group to one zone, whichever it is."""
    if zone.name is not None:
        template["metadata"]["labels"][LABEL_ZONE] = zone.name
        template["spec"].setdefault("nodeSelector", {})[TOPOLOGY_ZONE] = zone.name
        for variable in _zone_variables(template):
            variable["value"] = zone.name
    elif pods > 1:
        affinity = template["spec"].setdefault("affinity", {}).setdefault("podAffinity", {})
        affinity.setdefault(_REQUIRED, []).append(_one_zone(zone))


def unplace(placed: Mapping[str, Any], zone: ZonePlan) -> Obj:
    """The stored template that a LeaderWorkerSet's ``leaderWorkerTemplate`` was placed from.

    What the API server defaulted, or somebody else added, is in it too.
    """
    found = deepcopy(dict(placed))
    for kind in TEMPLATES:
        template = found[kind]
        if zone.name is not None:
            template.get("metadata", {}).get("labels", {}).pop(LABEL_ZONE, None)
            _drop(template["spec"], "nodeSelector", TOPOLOGY_ZONE)
            for variable in _zone_variables(template):
                variable.pop("value", None)
        elif found["size"] > 1:
            _drop_term(template["spec"], _one_zone(zone))
    return found


def _one_zone(zone: ZonePlan) -> Obj:
    return {
        "topologyKey": TOPOLOGY_ZONE,
        "labelSelector": {"matchLabels": {LWS_LABEL_NAME: zone.lws_name}},
        "matchLabelKeys": [LWS_LABEL_GROUP_INDEX],
    }


def _zone_variables(template: Obj) -> list[Obj]:
    return [
        variable
        for container in template["spec"]["containers"]
        if container["name"] == ENGINE
        for variable in container.get("env", [])
        if variable["name"] == _ZONE_VARIABLE
    ]


def _drop_term(spec: Obj, term: Obj) -> None:
    affinity = spec.get("affinity", {})
    terms = affinity.get("podAffinity", {}).get(_REQUIRED, [])
    if term in terms:
        terms.remove(term)
    if not terms:
        _drop(affinity, "podAffinity", _REQUIRED)
    if not affinity:
        spec.pop("affinity", None)


def _drop(holder: Obj, field: str, key: str) -> None:
    """Remove a key from an object in a field, and the object with the last of its keys."""
    inner = holder.get(field, {})
    inner.pop(key, None)
    if not inner:
        holder.pop(field, None)
