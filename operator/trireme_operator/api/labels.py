"""Names of labels, annotations and field managers: the one place where they are written down."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "trireme.dev/"

MANAGED_BY: Final = ("app.kubernetes.io/managed-by", "trireme")
LABEL_CLUSTER: Final = "trireme.dev/cluster"
LABEL_ZONE: Final = "trireme.dev/zone"
LABEL_ROLE: Final = "trireme.dev/role"
LABEL_ROTATION: Final = "trireme.dev/rotation"
LABEL_ROTATION_REASON: Final = "trireme.dev/rotation-reason"

ROLE_LEADER: Final = "leader"
ROLE_WORKER: Final = "worker"
ROTATION_IN: Final = "in"
ROTATION_OUT: Final = "out"
ROTATION_MAINTENANCE: Final = "NodeMaintenance"

ANNOTATION_HASH: Final = "trireme.dev/rendered-hash"
ANNOTATION_REVISION: Final = "trireme.dev/revision"
ANNOTATION_ZONE: Final = "trireme.dev/zone-name"
ANNOTATION_ACCEPTED: Final = "trireme.dev/accepted-spec"
ANNOTATION_RENDERING: Final = "trireme.dev/rendering"
ANNOTATION_TRAFFIC: Final = "trireme.dev/traffic"
ANNOTATION_BALANCE: Final = "trireme.dev/balance"
ANNOTATION_HISTORY: Final = "trireme.dev/history"
ANNOTATION_ROLLING_OUT: Final = "trireme.dev/rolling-out"

# With the name of a zone behind it: an annotation of the resource that asks for the zone's drain.
DRAIN_PREFIX: Final = "drain.trireme.dev/"

# Set by LeaderWorkerSet on every pod of a group (lws v0.9.0, api/leaderworkerset/v1).
LWS_PREFIX: Final = "leaderworkerset.sigs.k8s.io/"
LWS_LABEL_NAME: Final = "leaderworkerset.sigs.k8s.io/name"
LWS_LABEL_GROUP_INDEX: Final = "leaderworkerset.sigs.k8s.io/group-index"
LWS_LABEL_GROUP_KEY: Final = "leaderworkerset.sigs.k8s.io/group-key"
LWS_LABEL_WORKER_INDEX: Final = "leaderworkerset.sigs.k8s.io/worker-index"
LWS_LABEL_REVISION: Final = "leaderworkerset.sigs.k8s.io/template-revision-hash"

TOPOLOGY_ZONE: Final = "topology.kubernetes.io/zone"

FIELD_MANAGER: Final = "trireme"
FIELD_MANAGER_REPLICAS: Final = "trireme-replicas"
FIELD_MANAGER_HISTORY: Final = "trireme-history"
FIELD_MANAGER_CLI: Final = "trireme-cli"
