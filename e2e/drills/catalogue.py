"""All drills, in the order in which they run: those that share a layout together."""

from __future__ import annotations

from e2e.drills.cuts import CUT_DRILLS
from e2e.drills.drill import Drill
from e2e.drills.ends import PROCESS_DRILLS
from e2e.drills.load import load_drills
from e2e.drills.maintenance import maintenance_drills
from e2e.drills.nodes import NODE_DRILLS
from e2e.drills.zones import zone_drills


def drills(*, short: bool = False) -> tuple[Drill, ...]:
    """``short``: with a tenth of the requests under load."""
    found = (*PROCESS_DRILLS, *CUT_DRILLS, *load_drills(short=short), *zone_drills(short=short), *NODE_DRILLS)
    found += maintenance_drills(short=short)
    layouts = list(dict.fromkeys(each.layout for each in found))
    return tuple(sorted(found, key=lambda each: layouts.index(each.layout)))
