"""Pods on nodes that do not answer any more, told from the pods alone: no node is read.

A kubelet that is gone neither ends its pods nor says anything about them. Others do, in its place (k8s.io/kubernetes
v1.36): the node lifecycle controller sets the condition Ready to False and leaves ContainersReady as it was
(pkg/controller/util/node, MarkPodsNotReady), and the taint manager, when the pod's toleration is over, adds the
condition DisruptionTarget and deletes it (pkg/controller/tainteviction). It then stays as one that is ending, with
containers that run, for as long as its Node object exists.
"""

from collections.abc import Iterable

import structlog

from trireme_operator.api import Reason
from trireme_operator.api.failover import ReplaceLostPods
from trireme_operator.controller.causes import Cause, Stage
from trireme_operator.controller.scope import ChildError, Scope
from trireme_operator.controller.times import seconds
from trireme_operator.kube import POD, Conflict, KubeError, NotFound, Obj

LATE_SECONDS = 10
"""After the end of its grace period a kubelet that is there has ended the pod."""
FORCE_SECONDS = 60
"""After the end of its grace period a lost pod is deleted by force, where that is wanted."""


def lost(pod: Obj, *, now: int) -> bool:
    """Whether the pod's node has not answered for long enough to be called lost; `now` in seconds since the epoch."""
    if not _abandoned(pod):
        return False
    due = _due(pod)
    return _silent(pod) if due is None else now >= due + LATE_SECONDS


def lost_cause(pod: Obj) -> Cause:
    """What the status says of it, the way out included."""
    name, node = pod["metadata"]["name"], _node(pod)
    if _due(pod) is None:
        text = f"pod {name}: its node {node} does not answer; without an answer the pod is given up 30 s later"
    else:
        text = (
            f"pod {name} should have ended and its node {node} does not answer, so the group can't be made again; if"
            f" the machine is off, remove its Node object (kubectl delete node {node}) or delete the pod (kubectl"
            f" delete pod {name} --force --grace-period=0), or set spec.failover.replaceLostPods: Force"
        )
    return Cause(Stage.FAILED, Reason.NODE_LOST, text)


async def replace_lost(scope: Scope, *, now: int) -> None:
    """Delete the lost pods that should have ended a minute ago, if the resource wants that."""
    if not _wanted(scope):
        return
    for pod in scope.children.pods:
        due = _due(pod)
        if due is None or not lost(pod, now=now) or now < due + FORCE_SECONDS:
            continue
        metadata = pod["metadata"]
        try:
            await scope.confirm()
            structlog.get_logger().warning("Deleting a pod of a lost node", child=metadata["name"], node=_node(pod))
            await scope.api.delete(POD, scope.namespace, metadata["name"], uid=metadata["uid"], grace_seconds=0)
        except (NotFound, Conflict):
            continue  # it is gone, or another pod has its name
        except KubeError as error:
            scope.errors.append(ChildError(POD, metadata["name"], error))


def next_judgement(pods: Iterable[Obj], *, now: int) -> int | None:
    """Seconds until a pod that is abandoned counts as lost, or may be deleted by force; nothing announces that."""
    due = [moment for pod in pods if _abandoned(pod) and (moment := _due(pod)) is not None]
    waits = [moment + limit - now for moment in due for limit in (LATE_SECONDS, FORCE_SECONDS)]
    return min((wait for wait in waits if wait > 0), default=None)


def _wanted(scope: Scope) -> bool:
    failover = scope.cluster.spec.failover
    return failover is not None and failover.replace_lost_pods is ReplaceLostPods.FORCE


def _abandoned(pod: Obj) -> bool:
    """Whether somebody else spoke for the kubelet, which says that containers run."""
    status = pod.get("status") or {}
    runs = any("running" in (container.get("state") or {}) for container in status.get("containerStatuses") or [])
    return runs and (_silent(pod) or _condition(pod, "DisruptionTarget") == ("True", "DeletionByTaintManager"))


def _silent(pod: Obj) -> bool:
    return _condition(pod, "Ready")[0] == "False" and _condition(pod, "ContainersReady")[0] == "True"


def _condition(pod: Obj, kind: str) -> tuple[str, str]:
    conditions = (pod.get("status") or {}).get("conditions") or []
    found: Obj = next((item for item in conditions if item.get("type") == kind), {})
    return found.get("status", ""), found.get("reason", "")


def _due(pod: Obj) -> int | None:
    """When the pod should have ended, in seconds since the epoch; None for one that nobody deleted."""
    return seconds(pod["metadata"].get("deletionTimestamp"))


def _node(pod: Obj) -> str:
    return str((pod.get("spec") or {}).get("nodeName", ""))
