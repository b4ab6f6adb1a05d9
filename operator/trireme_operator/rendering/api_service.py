"""The APIService by which the API server asks our metrics server for ``custom.metrics.k8s.io``.

It is the only version that is registered: the HPA controller uses one version for the whole group, the newest one that
it knows, which is ``v1beta2`` (k8s.io/metrics, pkg/client/custom_metrics/versioned_client.go).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

from trireme_operator.api.labels import MANAGED_BY

METRICS_GROUP: Final = "custom.metrics.k8s.io"
METRICS_VERSION: Final = "v1beta2"
API_SERVICE_NAME: Final = f"{METRICS_VERSION}.{METRICS_GROUP}"
METRICS_PATH: Final = f"/apis/{METRICS_GROUP}/{METRICS_VERSION}"
CA_KEY: Final = "ca.crt"
"""Of the Secret with the serving certificate: the authorities that it may be signed by, PEM."""
_PRIORITY: Final = 100
"""As other adapters have it."""


@dataclass(frozen=True, slots=True)
class MetricsService:
    """The metrics server's Service; the Secret with its certificate and the ClusterRole of its rights have its name."""

    namespace: str
    name: str

    @property
    def host(self) -> str:
        """The name that the API server expects in the serving certificate."""
        return f"{self.name}.{self.namespace}.svc"


def api_service(service: MetricsService, *, authorities: str, owner_uid: str) -> dict[str, Any]:
    """The object. `authorities` as PEM; `owner_uid` is of the ClusterRole that goes when the installation goes.

    An APIService is in no namespace, so only something that is in none either may own it. With the owner the garbage
    collector takes it away, whichever tool uninstalls.
    """
    owner = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "name": service.name,
        "uid": owner_uid,
        "blockOwnerDeletion": False,
        "controller": True,
    }
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {
            "name": API_SERVICE_NAME,
            "labels": dict([MANAGED_BY]),
            "ownerReferences": [owner],
        },
        "spec": {
            "group": METRICS_GROUP,
            "version": METRICS_VERSION,
            "groupPriorityMinimum": _PRIORITY,
            "versionPriority": _PRIORITY,
            "service": {"namespace": service.namespace, "name": service.name, "port": 443},
            "caBundle": base64.b64encode(authorities.encode()).decode(),
        },
    }


def is_of(service: MetricsService, found: dict[str, Any]) -> bool:
    """Whether an APIService leads to our Service under our name; any other one is somebody else's."""
    target = (found.get("spec") or {}).get("service") or {}
    metadata = found["metadata"]
    marked = (metadata.get("labels") or {}).get(MANAGED_BY[0]) == MANAGED_BY[1]
    leads = (target.get("namespace"), target.get("name")) == (service.namespace, service.name)
    return bool(metadata["name"] == API_SERVICE_NAME and marked and leads)
