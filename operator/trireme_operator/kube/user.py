"""A user's connection: found as kubectl finds it, and able to edit."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from trireme_operator.kube.client import KubernetesApi
from trireme_operator.kube.errors import KubeError
from trireme_operator.kube.kinds import Kind
from trireme_operator.kube.protocol import Obj

_DEFAULT = "~/.kube/config"


class KubeconfigError(KubeError):
    """No kubeconfig is usable; nothing was asked of a cluster."""


class UserApi(KubernetesApi):
    """What the command line needs besides the operator's verbs."""

    async def edit(
        self, kind: Kind, namespace: str, name: str, operations: list[Obj], *, manager: str, dry_run: bool
    ) -> Obj:
        """Change an object by a JSON Patch (RFC 6902); with `dry_run` the server only says what would come of it.

        Raises Invalid when a `test` among the operations fails or the result breaks a rule.
        """
        query = {"fieldManager": manager, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        body: Any = operations
        path = kind.path(namespace, name)
        return await self._call(
            "PATCH", kind, path, query=query, body=body, content_type="application/json-patch+json", is_object=True
        )


@dataclass(frozen=True)
class User:
    """A connection and the namespace that the kubeconfig's context names."""

    api: UserApi
    namespace: str


async def connect_user(kubeconfig: str | None, context: str | None) -> User:
    """Connect as kubectl does: the named file, else those of $KUBECONFIG, else ~/.kube/config; the named context.

    Raises KubeconfigError.
    """
    listed = kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT
    files = _files(listed)
    if not files:
        raise KubeconfigError(f"{listed}: there is no such kubeconfig; name one with --kubeconfig or in $KUBECONFIG")
    configuration = Configuration()
    loader: Any = config
    try:
        loaded = await loader.load_kube_config(
            config_file=files, context=context, client_configuration=configuration, persist_config=False
        )
        inside = loaded.current_context.get("context") or {}
    except (ConfigException, OSError, ValueError) as error:
        raise KubeconfigError(f"kubeconfig {files}: {' '.join(str(error).split())}") from error
    return User(UserApi(ApiClient(configuration)), str(cast("dict[str, Any]", inside).get("namespace") or "default"))


def _files(listed: str) -> str:
    """Those of the files that exist, as the loader wants them."""
    found = (Path(file).expanduser() for file in listed.split(os.pathsep) if file)
    return os.pathsep.join(str(file) for file in found if file.exists())
