"""Bring children about: apply what is not up to date, delete what is no longer wanted."""

import structlog

from trireme_operator.api.labels import FIELD_MANAGER, FIELD_MANAGER_REPLICAS
from trireme_operator.controller.drift import first_difference
from trireme_operator.controller.scope import ChildError, Scope, is_owned
from trireme_operator.kube import LEADER_WORKER_SET, ApiMissing, Kind, KubeError, NotFound, Obj


class NameTakenError(KubeError):
    """An object of the wanted name exists and is not ours; we never take over what we did not make."""


async def ensure(scope: Scope, kind: Kind, rendered: Obj) -> Obj | None:
    """Apply `rendered` unless it stands already; returns the live object.

    None when it can't be had now: the kind is not served, or the call failed, which is noted in the scope.
    """
    if kind in scope.children.missing:
        return None
    name = rendered["metadata"]["name"]
    try:
        live = scope.children.get(kind, name)
        if live is None:
            live = await _unlabelled(scope, kind, name)
        elif _controller(live) is not None and not is_owned(live, scope.uid):
            raise _taken(live)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return live  # its DELETED event brings us back
        difference = "missing" if live is None else first_difference(live, _telling_first(rendered))
        if live is None or difference is not None:
            structlog.get_logger().info("Applying child", kind=kind.kind, child=name, diff=difference)
            live = await scope.api.apply(kind, rendered, manager=FIELD_MANAGER)
    except KubeError as error:
        scope.errors.append(ChildError(kind, name, error))
        return None
    scope.children.put(kind, live)
    return live


def _telling_first(rendered: Obj) -> Obj:
    """Metadata last: a changed hash says only that something else has changed, which is what a log should name."""
    rest = {key: value for key, value in rendered.items() if key != "metadata"}
    return {**rest, "metadata": rendered["metadata"]}


async def ensure_replicas(scope: Scope, rendered: Obj) -> None:
    """Apply the number of groups with a manager of its own, so that a later owner of it can be let in."""
    name = rendered["metadata"]["name"]
    live = scope.children.get(LEADER_WORKER_SET, name)
    if live is None or live["metadata"].get("deletionTimestamp"):
        return
    wanted = rendered["spec"]["replicas"]
    if live["spec"].get("replicas") == wanted:
        return
    structlog.get_logger().info("Applying replicas", child=name, replicas=wanted)
    try:
        applied = await scope.api.apply(LEADER_WORKER_SET, rendered, manager=FIELD_MANAGER_REPLICAS)
    except KubeError as error:
        scope.errors.append(ChildError(LEADER_WORKER_SET, name, error))
    else:
        scope.children.put(LEADER_WORKER_SET, applied)


async def prune(scope: Scope, kind: Kind, wanted: frozenset[str]) -> None:
    """Delete our objects of `kind` that are not `wanted`: ours by label (they were listed by it) and by owner."""
    for name, obj in sorted(scope.children.of(kind).items()):
        metadata = obj["metadata"]
        if name in wanted or not is_owned(obj, scope.uid) or metadata.get("deletionTimestamp"):
            continue
        structlog.get_logger().info("Deleting child", kind=kind.kind, child=name)
        try:
            await scope.api.delete(kind, scope.namespace, name, uid=metadata["uid"])
        except NotFound:
            pass
        except KubeError as error:
            scope.errors.append(ChildError(kind, name, error))
            continue
        scope.children.drop(kind, name)


async def _unlabelled(scope: Scope, kind: Kind, name: str) -> Obj | None:
    """Our child whose label was stripped, or None when the name is free. Raises NameTakenError."""
    try:
        live = await scope.api.get(kind, scope.namespace, name)
    except (NotFound, ApiMissing):
        return None
    if not is_owned(live, scope.uid):
        raise _taken(live)
    return live


def _taken(live: Obj) -> NameTakenError:
    owner = _controller(live)
    whose = f"controlled by {owner.get('kind')} {owner.get('name')}" if owner else "without a controller"
    return NameTakenError(
        f"an object of this name exists and is not ours ({whose}); delete it, or give the resource another name"
    )


def _controller(live: Obj) -> Obj | None:
    owners: list[Obj] = live["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)
