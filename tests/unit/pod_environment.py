"""The environment of a leader in a group of two pods with eight ranks each, as the contract describes it."""

from __future__ import annotations

from trireme_runtime import environment

VARIABLES = {
    "LWS_LEADER_ADDRESS": "m-zone-a-0.m-zone-a.ns",
    "LWS_GROUP_SIZE": "2",
    "LWS_WORKER_INDEX": "0",
    "TRIREME_CONTRACT": "1",
    "TRIREME_CLUSTER": "m",
    "TRIREME_ZONE": "",
    "TRIREME_POD_NAME": "m-zone-a-0",
    "TRIREME_POD_NAMESPACE": "ns",
    "TRIREME_POD_UID": "0e1b",
    "TRIREME_POD_IP": "10.1.2.3",
    "TRIREME_TENSOR_PARALLEL_SIZE": "8",
    "TRIREME_PIPELINE_PARALLEL_SIZE": "2",
    "TRIREME_RANKS_PER_POD": "8",
    "TRIREME_ENGINE_PORT": "8000",
    "TRIREME_LAUNCHER_PORT": "8001",
    "TRIREME_MASTER_PORT": "29501",
    "TRIREME_GRACE_SECONDS": "120",
    "TRIREME_SETTLE_SECONDS": "5",
}
POD = environment.parse(VARIABLES)
