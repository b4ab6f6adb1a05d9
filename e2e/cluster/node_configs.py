"""Configuration files of a node: containerd, the CNI plugin, kubelet, kube-proxy. Pure: data in, text out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.network import DNS_ADDRESS, POD_RANGE, NodeNetwork
from e2e.cluster.pki import KeyPair

PAUSE_IMAGE = "trireme.dev/e2e/pause:dev"
CNI_PLUGINS = Path("/usr/lib/cni")

_UNUSED_PLUGINS = (
    "io.containerd.internal.v1.opt",  # would make /opt/containerd
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
)


@dataclass(frozen=True)
class NodeDirectories:
    """Where a node keeps its files. ``home`` goes when the cluster goes, ``store`` holds its images."""

    home: Path
    store: Path
    shim_sockets: Path
    """A path of at most 42 bytes: the names in it are long, and those of sockets are limited."""

    @property
    def run(self) -> Path:
        """What a real machine loses when it loses power: sockets, mounts, network namespaces, address leases."""
        return self.home / "run"

    @property
    def socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def kubelet(self) -> Path:
        return self.home / "kubelet"

    @property
    def cni(self) -> Path:
        return self.home / "cni"


def containerd(directories: NodeDirectories) -> str:
    """The config.toml of containerd.

    ``restrict_oom_score_adj``: without CAP_SYS_RESOURCE (a build machine's container) runc otherwise dies with
    "can't get final child's PID from pipe: EOF".
    """
    unused = ", ".join(_quoted(name) for name in _UNUSED_PLUGINS)
    runtime, images = "plugins.'io.containerd.cri.v1.runtime'", "plugins.'io.containerd.cri.v1.images'"
    return f"""version = 3
root = {_quoted(directories.store)}
state = {_quoted(directories.run / "containerd")}
disabled_plugins = [{unused}]

[grpc]
address = {_quoted(directories.socket)}

[plugins.'io.containerd.shim.v1.manager']
socket_dir = {_quoted(directories.shim_sockets)}

[{runtime}]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[{runtime}.cni]
bin_dirs = [{_quoted(CNI_PLUGINS)}]
conf_dir = {_quoted(directories.cni)}
use_internal_loopback = true

[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{runtime}.containerd.runtimes.runc.options]
Root = {_quoted(directories.run / "runc")}
SystemdCgroup = false

[{images}]
snapshotter = "overlayfs"

[{images}.pinned_images]
sandbox = {_quoted(PAUSE_IMAGE)}
"""


def cni(network_name: str, network: NodeNetwork, leases: Path) -> str:
    """The CNI network list: ``ptp``, which routes between the pods of a node too.

    With a bridge, the answer of a pod reached through a Service by its neighbour would go straight back, past
    the address translation, and be refused.
    """
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": network.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(leases),
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    return _json({"cniVersion": "1.0.0", "name": network_name, "plugins": [plugin]})


def kubelet(
    directories: NodeDirectories, network: NodeNetwork, *, cgroup: str, authority: Path, serving: KeyPair
) -> str:
    """The KubeletConfiguration (JSON is YAML)."""
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": network.address,
            "healthzBindAddress": network.address,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(serving.certificate),
            "tlsPrivateKeyFile": str(serving.key),
            "containerRuntimeEndpoint": f"unix://{directories.socket}",
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": "/dev/null",
            "podLogsDir": str(directories.home / "pod-logs"),
            "volumePluginDir": str(directories.home / "volume-plugins"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cgroup}",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": False,
            "nodeStatusUpdateFrequency": "5s",
            "serializeImagePulls": False,
            # The nodes share one machine with whatever else runs there: its disk being full is not theirs to solve.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        }
    )


def kubelet_arguments(
    directories: NodeDirectories, network: NodeNetwork, *, config: Path, kubeconfig: Path
) -> list[str]:
    """What kubelet takes only on its command line."""
    return [
        f"--config={config}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={directories.kubelet}",
        f"--cert-dir={directories.kubelet / 'pki'}",
        f"--hostname-override={network.node}",
        f"--node-ip={network.address}",
        f"--node-labels=topology.kubernetes.io/zone={network.zone}",
    ]


def kube_proxy(*, kubeconfig: Path, node: str, address: str) -> str:
    """The KubeProxyConfiguration; ``address`` is where it tells its health.

    Its connection tracking limits are switched off: they are the whole machine's, and not ours to set.
    """
    return _json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": node,
            "clusterCIDR": POD_RANGE,
            "detectLocalMode": "ClusterCIDR",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "healthzBindAddress": f"{address}:10256",
            "metricsBindAddress": f"{address}:10249",
            "oomScoreAdj": 0,
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
    )


def _json(content: object) -> str:
    return json.dumps(content, indent=1) + "\n"


def _quoted(text: str | Path) -> str:
    """A basic string of TOML, whose escapes are JSON's."""
    return json.dumps(str(text))
