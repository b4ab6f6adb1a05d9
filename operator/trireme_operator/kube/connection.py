"""How the operator finds the API server and proves who it is."""

from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from trireme_operator.kube.fence import Fence, tracing


async def connect(kubeconfig: Path | None, *, fence: Fence | None = None) -> ApiClient:
    """A client for the given kubeconfig, else for the pod's own service account.

    A kubeconfig is only used when it was named: the file in a home directory may point anywhere. In a pod the token
    file is read again every minute, because the kubelet rotates it. With a fence, no write leaves while it is closed.
    Raises `kubernetes.aio.config.ConfigException` when neither is usable.
    """
    configuration = Configuration()
    loader: Any = config
    if kubeconfig is not None:
        await loader.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    else:
        loader.load_incluster_config(client_configuration=configuration)
    if fence is not None:
        configuration.trace_configs = [tracing(fence)]
    return ApiClient(configuration)
