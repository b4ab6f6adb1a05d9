"""Where ``spec.podTemplate`` and ``spec.network`` speak of the same variable, device or directory."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trireme_operator.api.mounts import TOPOLOGY_MOUNT
from trireme_operator.api.network import Network
from trireme_operator.api.violations import Violation

_INTERFACE: Final = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")


def clashes(network: Network | None, engine: Mapping[str, Any], path: str) -> Iterator[Violation]:
    """What the engine's container of a podTemplate, at ``path``, may not say beside the network.

    A variable alone is fine: it wins over what the launcher would choose.
    """
    if network is None:
        return
    owners = _variables(network)
    for index, variable in enumerate(engine.get("env") or []):
        if variable["name"] in owners:
            yield Violation(
                f"{path}.env[{index}].name",
                f"{variable['name']} is what {owners[variable['name']]} becomes, which would have no effect: remove one"
                " of them",
            )
    for kind in ("requests", "limits"):
        amounts = (engine.get("resources") or {}).get(kind) or {}
        if network.rdma_resource and network.rdma_resource in amounts:
            yield Violation(
                f"{path}.resources.{kind}[{network.rdma_resource}]",
                "spec.network.rdmaResource asks for it already: say how many in spec.network.rdmaPerPod",
            )
    for index, mount in enumerate(engine.get("volumeMounts") or []):
        at = posixpath.normpath(str(mount["mountPath"]))
        if network.topology is not None and (at == TOPOLOGY_MOUNT or at.startswith(f"{TOPOLOGY_MOUNT}/")):
            yield Violation(
                f"{path}.volumeMounts[{index}].mountPath",
                f"{mount['mountPath']} is where spec.network.topology is mounted: mount at another path",
            )


def _variables(network: Network) -> dict[str, str]:
    """The variables that are set, by the field that sets them."""
    return {
        **(dict.fromkeys(_INTERFACE, "spec.network.interface") if network.interface else {}),
        **({"NCCL_IB_HCA": "spec.network.rdmaDevices"} if network.rdma_devices else {}),
        **({"NCCL_IB_GID_INDEX": "spec.network.rdmaGidIndex"} if network.rdma_gid_index is not None else {}),
        **({"NCCL_IB_TC": "spec.network.rdmaTrafficClass"} if network.rdma_traffic_class is not None else {}),
        **({"NCCL_TOPO_FILE": "spec.network.topology"} if network.topology is not None else {}),
    }
