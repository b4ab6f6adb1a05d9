"""Group templates as stored revisions.

A template is rendered once, when its inputs appear, and stored in a ControllerRevision; from then on the stored bytes
are used, also by a later version of the operator, so that an upgrade never restarts a group.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from trireme_operator import rendering
from trireme_operator.api.labels import ANNOTATION_HASH, ANNOTATION_REVISION, ANNOTATION_ROLLING_OUT
from trireme_operator.controller.children import ensure, prune
from trireme_operator.controller.scope import Scope, is_owned
from trireme_operator.kube import CONTROLLER_REVISION, LEADER_WORKER_SET, Obj
from trireme_operator.planning import ClusterPlan, ZonePlan, inputs_name, rendering_name, revision_name

HISTORY = 5


@dataclass(frozen=True)
class Template:
    """A group template and the revision that stores it.

    `newer` is the revision that the same inputs would have in this operator's own rendering, None when it is this one.
    """

    revision: str
    body: Obj
    newer: str | None = None


async def ensure_revision(scope: Scope, plan: ClusterPlan, settings: rendering.Settings) -> Template | None:
    """The template of the resource's inputs, stored first. None when it could not be had or stored: none may use it."""
    name = revision_name(scope.cluster)
    fresh = rendering.render_template(scope.cluster, plan, settings) if scope.may_render else None
    stored = _stored(scope, name)
    numbers = _numbers(scope)
    newest = max(numbers.values(), default=0)
    if stored is not None:
        body = stored["data"]["template"]
        number = stored["revision"] if stored["revision"] == newest else newest + 1  # wanted again: a rollback
    else:
        body, number = _recovered(scope, plan, name, fresh) or fresh, newest + 1
    if body is None:
        return None
    rendered = rendering.controller_revision(scope.cluster, name=name, number=number, template=body)
    live = await ensure(scope, CONTROLLER_REVISION, rendered)
    if live is None:
        return None
    kept = live["data"]["template"]
    return Template(name, kept, newer=_name_of(scope, fresh) if fresh not in (None, kept) else None)


def templates(scope: Scope, zone: ZonePlan, wanted: Template | None) -> Iterator[Template]:
    """What a zone's groups may be made from, best first: the wanted template, and while that can't be had, its own.

    A zone whose LeaderWorkerSet is gone has no own one; it gets what another zone runs, else the newest there is.
    """
    if wanted is not None:
        yield wanted
    live = scope.children.get(LEADER_WORKER_SET, zone.lws_name)
    if live is not None:
        names = [_revision_of(live)]
    else:
        numbers, used = _numbers(scope), _used(scope)
        names = sorted(numbers, key=lambda name: (name in used, numbers[name]), reverse=True)
    for name in names:
        stored = _stored(scope, name)
        if stored is not None and (wanted is None or name != wanted.revision):
            yield Template(name, stored["data"]["template"])


async def prune_revisions(scope: Scope) -> None:
    """Delete revisions that no zone uses, except the newest ones."""
    numbers = _numbers(scope)
    newest = sorted(numbers, key=lambda name: numbers[name], reverse=True)[:HISTORY]
    await prune(scope, CONTROLLER_REVISION, _used(scope).union(newest))


def _recovered(scope: Scope, plan: ClusterPlan, name: str, fresh: Obj | None) -> Obj | None:
    """The template of a lost revision, from the LeaderWorkerSets that run it; None when none does.

    The hash of what was once applied tells which candidate it is to the byte. Without such a proof the live object
    decides, because its pods are what must not be restarted.
    """
    users: list[tuple[ZonePlan, Obj]] = []
    for zone in plan.zones:
        live = scope.children.get(LEADER_WORKER_SET, zone.lws_name)
        if live is not None and is_owned(live, scope.uid) and _revision_of(live) == name:
            users.append((zone, live))
    if not users:
        return None
    running = [rendering.unplace(live["spec"]["leaderWorkerTemplate"], zone) for zone, live in users]
    structlog.get_logger().warning("Restoring lost revision from what runs", kind="ControllerRevision", child=name)
    for body in (*([] if fresh is None else [fresh]), *running):
        for zone, live in users:
            mark = (live["metadata"].get("annotations") or {}).get(ANNOTATION_ROLLING_OUT)
            again = rendering.leader_worker_set(
                scope.cluster, plan, zone, revision_name=name, template=body, rolling_out=mark
            )
            if _hash(again) == _hash(live):
                return body
    return running[0]


def _name_of(scope: Scope, template: Obj) -> str:
    """The revision of the resource's inputs that holds this template, or would."""
    first = inputs_name(scope.cluster)
    stored = _stored(scope, first)
    if stored is not None and stored["data"]["template"] == template:
        return first
    return rendering_name(scope.cluster, template)


def _stored(scope: Scope, name: str) -> Obj | None:
    found = scope.children.get(CONTROLLER_REVISION, name)
    return found if found is not None and is_owned(found, scope.uid) else None


def _numbers(scope: Scope) -> dict[str, int]:
    """Our revisions' numbers, by name."""
    found = scope.children.of(CONTROLLER_REVISION).items()
    return {name: int(obj["revision"]) for name, obj in found if is_owned(obj, scope.uid)}


def _used(scope: Scope) -> frozenset[str]:
    """The revisions that the zones run."""
    return frozenset(_revision_of(live) for live in scope.children.of(LEADER_WORKER_SET).values())


def _revision_of(live: Obj) -> str:
    return str((live["metadata"].get("annotations") or {}).get(ANNOTATION_REVISION, ""))


def _hash(obj: Obj) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(ANNOTATION_HASH, ""))
