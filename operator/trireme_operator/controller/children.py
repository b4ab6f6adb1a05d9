"""Bring children about: apply what is not up to date, delete what is no longer wanted."""

import structlog

from trireme_operator.api.labels import FIELD_MANAGER, LABEL_CLUSTER
from trireme_operator.controller.drift import first_difference
from trireme_operator.controller.scope import ChildError, Scope, is_owned
from trireme_operator.kube import SERVICE, Conflict, Kind, KubeError, NotFound, Obj

_NO_VERSION = "1"
"""A resourceVersion that no object has: an apply with it makes the object or conflicts, and changes none."""


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
        if kind in scope.children.refused:
            raise scope.children.refused[kind]
        live = await _brought_about(scope, kind, rendered)
    except KubeError as error:
        scope.errors.append(ChildError(kind, name, error))
        return None
    scope.children.put(kind, live)
    return live


async def _brought_about(scope: Scope, kind: Kind, rendered: Obj) -> Obj:
    """The live object after what had to be done. Raises KubeError."""
    log, name = structlog.get_logger(), rendered["metadata"]["name"]
    live = scope.children.get(kind, name)
    if live is None:
        await scope.confirm()
        log.info("Applying child", kind=kind.kind, child=name, diff="missing")
        made = {**rendered, "metadata": {**rendered["metadata"], "resourceVersion": _NO_VERSION}}
        try:
            return await scope.api.apply(kind, made, manager=FIELD_MANAGER)
        except Conflict:
            live = await scope.api.get(kind, scope.namespace, name)  # ours without its label, or somebody else's
    if not is_owned(live, scope.uid) and (_controller(live) is not None or not _is_labelled(scope, live)):
        raise _taken(live)
    if live["metadata"].get("deletionTimestamp"):
        return live  # its DELETED event brings us back
    difference = first_difference(live, _telling_first(rendered))
    if difference is None:
        return live
    await scope.confirm()
    log.info("Applying child", kind=kind.kind, child=name, diff=difference)
    if kind == SERVICE and _port_in_the_way(live, rendered):
        await _replace_ports(scope, live, rendered)
    return await scope.api.apply(kind, rendered, manager=FIELD_MANAGER)


def _port_in_the_way(live: Obj, rendered: Obj) -> bool:
    """Whether somebody made another port of one of ours, by its name: an edited number is another port."""
    ours = {port["name"]: (port["port"], port["protocol"]) for port in rendered["spec"]["ports"]}
    theirs = [port for port in (live.get("spec") or {}).get("ports") or [] if port.get("name") in ours]
    return any((port["port"], port["protocol"]) != ours[port["name"]] for port in theirs)


async def _replace_ports(scope: Scope, live: Obj, rendered: Obj) -> None:
    """An apply leaves the ports of others, and the API server refuses two of one name; a merge patch leaves none."""
    metadata = {key: live["metadata"][key] for key in ("namespace", "name", "uid", "resourceVersion")}
    ports = {"metadata": metadata, "spec": {"ports": rendered["spec"]["ports"]}}
    await scope.api.merge(SERVICE, ports, manager=FIELD_MANAGER)


def _telling_first(rendered: Obj) -> Obj:
    """Metadata last: a changed hash says only that something else has changed, which is what a log should name."""
    rest = {key: value for key, value in rendered.items() if key != "metadata"}
    return {**rest, "metadata": rendered["metadata"]}


async def prune(scope: Scope, kind: Kind, wanted: frozenset[str]) -> None:
    """Delete our objects of `kind` that are not `wanted`: ours by label and by owner."""
    for name, obj in sorted(scope.children.of(kind).items()):
        metadata = obj["metadata"]
        ours = is_owned(obj, scope.uid) and _is_labelled(scope, obj)
        if name in wanted or not ours or metadata.get("deletionTimestamp"):
            continue
        try:
            await scope.confirm()
            structlog.get_logger().info("Deleting child", kind=kind.kind, child=name)
            await scope.api.delete(kind, scope.namespace, name, uid=metadata["uid"])
        except NotFound:
            pass
        except KubeError as error:
            scope.errors.append(ChildError(kind, name, error))
            continue
        scope.children.drop(kind, name)


def _is_labelled(scope: Scope, live: Obj) -> bool:
    return (live["metadata"].get("labels") or {}).get(LABEL_CLUSTER) == scope.cluster.metadata.name


def _taken(live: Obj) -> NameTakenError:
    owner = _controller(live)
    whose = f"controlled by {owner.get('kind')} {owner.get('name')}" if owner else "without a controller"
    return NameTakenError(
        f"an object of this name exists and is not ours ({whose}); delete it, or give the resource another name"
    )


def _controller(live: Obj) -> Obj | None:
    owners: list[Obj] = live["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)
