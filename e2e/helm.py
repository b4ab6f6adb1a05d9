"""One Helm release on a cluster of the project's own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from e2e.cluster import Cluster
from e2e.host import CommandError, run
from e2e.toolchain import binary


@dataclass(frozen=True)
class Release:
    """A release by its name and namespace; every method raises CommandError when Helm refuses."""

    cluster: Cluster
    name: str
    namespace: str

    def helm(self, *args: str) -> str:
        """Run Helm in the release's namespace, with the cluster's own kubeconfig."""
        helm = (str(binary("helm")), "--kubeconfig", str(self.cluster.kubeconfig()), "--namespace", self.namespace)
        return run(self.cluster.command(*helm, *args))

    def info(self) -> tuple[str, str]:
        """Helm's status ("deployed", "failed", ...; empty where there is no release) and the description."""
        try:
            info = json.loads(self.helm("status", self.name, "--output", "json"))["info"]
        except CommandError as error:
            if "release: not found" not in error.output:
                raise
            return "", ""
        return str(info["status"]), str(info["description"])

    def recover(self) -> None:
        """Remove a release in whose middle Helm was killed: Helm refuses to touch such a one again."""
        status, _ = self.info()
        if status.startswith("pending-"):
            self.helm("uninstall", self.name, "--wait")
