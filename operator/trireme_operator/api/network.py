"""``spec.network``: what the ranks of a group talk over.

The variables that the fields become are those of NCCL's user guide, chapter "Environment Variables"
(https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html); RCCL reads the same ones. Gloo's is torch's.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from trireme_operator.api.base import ATOMIC, DNS_SUBDOMAIN_PATTERN, Model, ShortText

_INTERFACE: Final = "[A-Za-z0-9_][-A-Za-z0-9_.]{0,14}"
"""A name of at most 15 characters, as Linux has it (IFNAMSIZ), and none that NCCL would read as a wish: no = and ^."""
_DEVICE: Final = r"^[A-Za-z0-9_][-A-Za-z0-9_.]*(:[0-9]+)?$"


class TopologyFile(Model):
    """A file for NCCL that says how the devices of a node are connected, from a ConfigMap."""

    config_map: Annotated[ShortText, Field(min_length=1, pattern=DNS_SUBDOMAIN_PATTERN)]
    """Name of the ConfigMap, in the namespace of the resource. Pods wait for it. What it holds is read when a pod
    starts: another content reaches only groups that start later."""

    key: Annotated[ShortText, Field(min_length=1, pattern=r"^[-A-Za-z0-9_][-A-Za-z0-9_.]*$")] | None = None
    """The key of the file in it. Default: `topology.xml`."""

    @property
    def file(self) -> str:
        """The key, which is also the name of the mounted file."""
        return self.key or "topology.xml"


class Network(Model):
    """What the ranks of a group talk over when they are in different pods."""

    interface: Annotated[str, Field(max_length=255, pattern=f"^({_INTERFACE}(,{_INTERFACE}){{0,15}})?$")] | None = None
    """Network interface of the pods that collective operations use, by its exact name such as `eth0`, or several
    separated by commas (`NCCL_SOCKET_IFNAME`, `GLOO_SOCKET_IFNAME`). Empty (the default): in each pod of a group of
    several, the launcher chooses the one that has the pod's IP."""

    rdma_resource: Annotated[str, Field(max_length=317)] | None = None
    """Extended resource that gives a pod its RDMA devices (InfiniBand, RoCE, EFA), for example `rdma/ib` or
    `vpc.amazonaws.com/efa`; what it is called is up to the device plugin of the cluster. Empty (the default): none."""

    rdma_per_pod: Annotated[int, Field(ge=1, le=1024)] | None = None
    """How many of `rdmaResource` each pod asks for. A device plugin that shares devices gives all of a node for 1; one
    that hands out single devices wants their number. Default: 1."""

    rdma_devices: list[Annotated[str, Field(min_length=1, max_length=67, pattern=_DEVICE)]] = Field(
        default_factory=list, max_length=32, json_schema_extra=ATOMIC
    )
    """RDMA devices (host channel adapters) that NCCL uses, by their exact names such as `mlx5_0`, or `mlx5_0:1` for one
    port (`NCCL_IB_HCA`). Default: all that NCCL finds."""

    rdma_gid_index: Annotated[int, Field(ge=0, le=255)] | None = None
    """Index of the global identifier that NCCL uses with RoCE (`NCCL_IB_GID_INDEX`). Default: NCCL chooses."""

    rdma_traffic_class: Annotated[int, Field(ge=0, le=255)] | None = None
    """Traffic class of NCCL's RDMA packets, by which switches tell them apart (`NCCL_IB_TC`). Default: NCCL's own."""

    topology: TopologyFile | None = None
    """How the devices of a node are connected, for virtual machines that hide it (`NCCL_TOPO_FILE`). Default: NCCL
    finds out."""
