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
from trireme_operator.kube.kinds import (
    CONTROLLER_REVISION,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
)
from trireme_operator.kube.protocol import CallObserverFn, KubeApi, Obj
from trireme_operator.kube.user import KubeconfigError, UserApi, connect_user

__all__ = [
    "CONTROLLER_REVISION",
    "GATEWAY",
    "HTTP_ROUTE",
    "INFERENCE_CLUSTER",
    "LEADER_WORKER_SET",
    "POD",
    "SERVICE",
    "SERVICE_ACCOUNT",
    "ApiError",
    "ApiMissing",
    "CallObserverFn",
    "Conflict",
    "Forbidden",
    "Invalid",
    "Kind",
    "KubeApi",
    "KubeError",
    "KubeconfigError",
    "KubernetesApi",
    "NotFound",
    "Obj",
    "ServerError",
    "TooManyRequests",
    "Unauthorized",
    "Unreachable",
    "UserApi",
    "connect",
    "connect_user",
]
