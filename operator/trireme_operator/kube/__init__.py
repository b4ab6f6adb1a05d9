"""Access to the Kubernetes API: five verbs on plain dicts, the kinds they act on, and one tree of errors."""

from trireme_operator.kube.client import KubernetesApi
from trireme_operator.kube.connection import connect
from trireme_operator.kube.errors import (
    ApiError,
    ApiMissing,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from trireme_operator.kube.fence import Fence, FencedApi, NotLeading
from trireme_operator.kube.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    EVENT,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    LEASE,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
)
from trireme_operator.kube.lease import Claim, Lease
from trireme_operator.kube.protocol import CallObserverFn, KubeApi, Obj, Page
from trireme_operator.kube.user import KubeconfigError, UserApi, connect_user

__all__ = [
    "CONFIG_MAP",
    "CONTROLLER_REVISION",
    "EVENT",
    "GATEWAY",
    "HTTP_ROUTE",
    "INFERENCE_CLUSTER",
    "LEADER_WORKER_SET",
    "LEASE",
    "POD",
    "SERVICE",
    "SERVICE_ACCOUNT",
    "ApiError",
    "ApiMissing",
    "CallObserverFn",
    "Claim",
    "Conflict",
    "Fence",
    "FencedApi",
    "Forbidden",
    "Invalid",
    "Kind",
    "KubeApi",
    "KubeError",
    "KubeconfigError",
    "KubernetesApi",
    "Lease",
    "NotFound",
    "NotLeading",
    "Obj",
    "Page",
    "ServerError",
    "TooManyRequests",
    "Unauthorized",
    "Unreachable",
    "UserApi",
    "connect",
    "connect_user",
]
