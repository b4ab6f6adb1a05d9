"""Names of child objects: the one place where they are derived.

LeaderWorkerSet makes StatefulSets called ``LWS`` and ``LWS-GROUP``, pods ``LWS-GROUP-WORKER`` and a headless Service
called ``LWS``. A StatefulSet's pods carry its name and a hash of 10 characters in a label of at most 63, so
``LWS-GROUP`` has at most 52 and, with groups up to 999, ``LWS`` at most 48. The name of the resource has at most 40.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

LWS_NAME_MAXIMUM: Final = 48
_HASH_LENGTH: Final = 6
_HTTP: Final = "http"


def lws_name(cluster: str, zone: str | None) -> str:
    """The LeaderWorkerSet of a zone, or of the whole resource without zones: at most 48 characters, DNS-1035.

    A zone's name that is too long, or has characters that no DNS name has, is cut and gets a hash. So does one that
    ends in "http": the headless Service that LeaderWorkerSet makes would meet one of ours.
    """
    if zone is None:
        return cluster
    slug = re.sub(r"[^a-z0-9-]", "-", zone.lower())
    room = LWS_NAME_MAXIMUM - len(cluster) - 1
    if slug == zone and len(slug) <= room and not slug.endswith(_HTTP):
        return f"{cluster}-{slug}"
    digest = hashlib.sha256(zone.encode()).hexdigest()[:_HASH_LENGTH]
    head = slug[: max(0, room - _HASH_LENGTH - 1)].rstrip("-")
    return f"{cluster}-{head}-{digest}" if head else f"{cluster}-{digest}"


def service_name(cluster: str) -> str:
    """The Service over all zones."""
    return f"{cluster}-{_HTTP}"


def zone_service_name(cluster: str, zone: str | None) -> str:
    """The Service of one zone; without zones it is the Service over all."""
    return f"{lws_name(cluster, zone)}-{_HTTP}"


def picker_name(pool: str) -> str:
    """The Service of a pool's endpoint picker where none is named: how the charts of the extension call it."""
    return f"{pool}-epp"


def route_name(cluster: str) -> str:
    """The HTTPRoute."""
    return cluster


def pod_monitor_name(cluster: str) -> str:
    """The PodMonitor."""
    return cluster


def service_account_name(cluster: str) -> str:
    """The ServiceAccount of the pods."""
    return f"{cluster}-engine"
