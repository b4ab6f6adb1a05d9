"""All drills, in the order in which they run: those that share a layout together."""

from __future__ import annotations

from e2e.drills.balancing import balancing_drills
from e2e.drills.cuts import CUT_DRILLS
from e2e.drills.drill import Drill
from e2e.drills.ends import PROCESS_DRILLS
from e2e.drills.load import load_drills
from e2e.drills.maintenance import maintenance_drills
from e2e.drills.nodes import NODE_DRILLS
from e2e.drills.size import FULL, MODEL, SHORT
from e2e.drills.zones import zone_drills


def drills(*, short: bool = False) -> tuple[Drill, ...]:
    """``short``: with a tenth of the requests under load, and without a real model there.

    Some names come twice: with the engine double, and with a real model, which gets fewer requests.
    """
    found: tuple[Drill, ...] = (*PROCESS_DRILLS, *CUT_DRILLS)
    for size in (SHORT,) if short else (FULL, MODEL):
        found += (*load_drills(size), *zone_drills(size), *balancing_drills(size), *maintenance_drills(size))
    found += NODE_DRILLS
    layouts = list(dict.fromkeys(each.layout.name for each in found))
    return tuple(sorted(found, key=lambda each: layouts.index(each.layout.name)))
