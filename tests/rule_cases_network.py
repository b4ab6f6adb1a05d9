"""The rules of ``spec.network``, each broken once."""

from typing import Any

_GPU: dict[str, Any] = {"accelerator": {"resource": "nvidia.com/gpu"}, "parallelism": {"pipeline": 2}}
_ALONE: dict[str, Any] = {"accelerator": {"resource": "nvidia.com/gpu"}, "parallelism": {"tensor": 2}}
_NCCLS: tuple[dict[str, Any], ...] = ({"rdmaDevices": ["mlx5_0"]}, {"rdmaGidIndex": 0}, {"rdmaTrafficClass": 106})

BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("spec.network.rdmaResource", {"network": {"rdmaResource": "ib"}}),
    ("spec.network", {"network": {"rdmaPerPod": 2}}),
    ("spec.network", {"network": {"rdmaPerPod": 1, "rdmaResource": ""}}),
    ("spec", {**_GPU, "network": {"rdmaResource": "nvidia.com/gpu"}}),
    *(("spec", {"network": network}) for network in (*_NCCLS, {"topology": {"configMap": "topology"}})),
    *(("spec", {**_ALONE, "network": network}) for network in _NCCLS),
]

GOOD: list[dict[str, Any]] = [
    {"network": {}},
    {"network": {"interface": "", "rdmaResource": "", "rdmaDevices": []}},
    {"network": {"interface": "eth0,net1.5", "rdmaResource": "rdma/ib", "rdmaPerPod": 8}},
    {**_ALONE, "network": {"interface": "eth0", "rdmaResource": "rdma/ib", "topology": {"configMap": "topology"}}},
    {
        **_GPU,
        "network": {
            "rdmaResource": "vpc.amazonaws.com/efa",
            "rdmaDevices": ["mlx5_0", "mlx5_1:1"],
            "rdmaGidIndex": 3,
            "rdmaTrafficClass": 106,
            "topology": {"configMap": "topology", "key": "ndv5.xml"},
        },
    },
]
