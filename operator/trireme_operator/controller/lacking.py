"""Does a resource seem to need something? A guess from little, for the order in which resources are looked at."""

from trireme_operator.api.zones import ZoneState
from trireme_operator.kube import Obj


def lacks(resource: Obj, sets: int) -> bool:
    """Whether the status is of an earlier spec, or tells of more active zones than there are sets of groups."""
    status, spec = resource.get("status") or {}, resource.get("spec") or {}
    disabled = {zone.get("name") for zone in spec.get("zones") or () if zone.get("state") == ZoneState.DISABLED}
    active = [zone for zone in status.get("zones") or () if zone.get("name") not in disabled]
    edited = status.get("observedGeneration") != resource.get("metadata", {}).get("generation")
    return edited or sets < len(active)
