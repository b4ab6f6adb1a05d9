"""No command ever acts on a cluster that the project did not make.

Every call names its kubeconfig, a file of our own below the cache; here is checked that this file still leads
where it should, and that no option of the caller leads elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

_ELSEWHERE = frozenset(
    {
        "--cluster",
        "--context",
        "--kube-apiserver",
        "--kube-context",
        "--kube-token",
        "--kubeconfig",
        "--server",
        "--token",
        "--user",
        "-s",
    }
)
"""Options of kubectl and helm that choose another cluster, or credentials that are not in our kubeconfig."""


class ContextError(RuntimeError):
    """A command would act on a cluster that is not ours."""


def require_own(kubeconfig: Path, context: str) -> None:
    """Check that the kubeconfig exists and its one context is ours.

    Raises:
        ContextError: it is missing, or leads to another cluster.

    """
    if not kubeconfig.exists():
        raise ContextError(
            f"{kubeconfig} does not exist: the cluster is not up; start it with: python -m e2e.cluster up"
        )
    content = yaml.safe_load(kubeconfig.read_text())
    names = [entry.get("name") for entry in content.get("contexts", [])]
    current = content.get("current-context")
    if current != context or names != [context]:
        raise ContextError(
            f"{kubeconfig}: its context is {current!r} of {names}, but only {context!r} is ours; "
            "nothing was run. Take the cluster down and up again to have the file written anew"
        )


def refuse_elsewhere(words: Sequence[str]) -> None:
    """Check that no option chooses a cluster or user; words after ``--`` belong to another program.

    Raises:
        ContextError: one does.

    """
    for word in words:
        if word == "--":
            return
        if word.split("=")[0] in _ELSEWHERE:
            raise ContextError(f"{word}: this command acts on the project's own cluster only; leave that option out")
