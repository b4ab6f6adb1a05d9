"""What ``spec.network`` comes to in the engine's container: variables of NCCL and Gloo, devices, a mounted file.

Sources: NCCL's user guide, "Environment Variables", for the variables and the sign ``=`` of exact names;
torch/csrc/distributed/c10d/init.cpp (``GLOO_SOCKET_IFNAME``) takes exact names only.
"""

from __future__ import annotations

from typing import Any, Final

from trireme_operator.api.mounts import TOPOLOGY_MOUNT
from trireme_operator.api.network import Network

Obj = dict[str, Any]

_VOLUME: Final = "trireme-topology"


def environment(network: Network | None) -> list[Obj]:
    """The variables; without an interface none for it, so that the launcher chooses."""
    if network is None:
        return []
    values: dict[str, object] = {}
    if network.interface:
        values |= {"NCCL_SOCKET_IFNAME": f"={network.interface}", "GLOO_SOCKET_IFNAME": network.interface}
    if network.rdma_devices:
        # Without the sign, mlx5_1 would be mlx5_10 too.
        values["NCCL_IB_HCA"] = "=" + ",".join(network.rdma_devices)
    if network.rdma_gid_index is not None:
        values["NCCL_IB_GID_INDEX"] = network.rdma_gid_index
    if network.rdma_traffic_class is not None:
        values["NCCL_IB_TC"] = network.rdma_traffic_class
    if network.topology is not None:
        values["NCCL_TOPO_FILE"] = f"{TOPOLOGY_MOUNT}/{network.topology.file}"
    return [{"name": name, "value": str(value)} for name, value in values.items()]


def devices(network: Network | None) -> dict[str, str]:
    """The extended resource, which requests and limits name alike."""
    if network is None or not network.rdma_resource:
        return {}
    return {network.rdma_resource: str(network.rdma_per_pod or 1)}


def volumes(network: Network | None) -> list[Obj]:
    """The file of NCCL's alone, not the whole ConfigMap."""
    if network is None or network.topology is None:
        return []
    file = network.topology.file
    return [
        {"name": _VOLUME, "configMap": {"name": network.topology.config_map, "items": [{"key": file, "path": file}]}}
    ]


def mounts(network: Network | None) -> list[Obj]:
    if network is None or network.topology is None:
        return []
    return [{"name": _VOLUME, "mountPath": TOPOLOGY_MOUNT, "readOnly": True}]
