"""Group templates as stored revisions.

A template is rendered once, when its inputs appear, and stored in a ControllerRevision; from then on the stored bytes
are used, also by a later version of the operator, so that an upgrade never restarts a group.
"""

from dataclasses import dataclass

from trireme_operator import rendering
from trireme_operator.api.labels import ANNOTATION_REVISION
from trireme_operator.controller.children import ensure, prune
from trireme_operator.controller.scope import Scope, is_owned
from trireme_operator.kube import CONTROLLER_REVISION, LEADER_WORKER_SET, Obj
from trireme_operator.planning import ClusterPlan, revision_name

HISTORY = 5


@dataclass(frozen=True)
class Template:
    """A group template and the revision that stores it."""

    revision: str
    body: Obj


async def ensure_revision(scope: Scope, plan: ClusterPlan, settings: rendering.Settings) -> Template | None:
    """The template of the resource's inputs, stored first. None when it could not be stored: nothing may use it."""
    name = revision_name(scope.cluster)
    stored = scope.children.get(CONTROLLER_REVISION, name)
    if stored is not None and is_owned(stored, scope.uid):
        body, number = stored["data"]["template"], stored["revision"]
        newest = max(_numbers(scope).values())
        number = number if number == newest else newest + 1  # an older template is wanted again: a rollback
    else:
        body = rendering.render_template(scope.cluster, plan, settings)
        number = max(_numbers(scope).values(), default=0) + 1
    rendered = rendering.controller_revision(scope.cluster, name=name, number=number, template=body)
    live = await ensure(scope, CONTROLLER_REVISION, rendered)
    return None if live is None else Template(name, live["data"]["template"])


async def prune_revisions(scope: Scope) -> None:
    """Delete revisions that no zone uses, except the newest ones."""
    numbers = _numbers(scope)
    newest = sorted(numbers, key=lambda name: numbers[name], reverse=True)[:HISTORY]
    used = {
        (obj["metadata"].get("annotations") or {}).get(ANNOTATION_REVISION, "")
        for obj in scope.children.of(LEADER_WORKER_SET).values()
    }
    await prune(scope, CONTROLLER_REVISION, frozenset(used.union(newest)))


def _numbers(scope: Scope) -> dict[str, int]:
    """Our revisions' numbers, by name."""
    found = scope.children.of(CONTROLLER_REVISION).items()
    return {name: int(obj["revision"]) for name, obj in found if is_owned(obj, scope.uid)}
