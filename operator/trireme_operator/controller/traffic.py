"""What decides the weights of a resource's zones, gathered from pods, launchers and the live route."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trireme_operator.api import WeightReason
from trireme_operator.api.labels import ANNOTATION_BALANCE, ANNOTATION_TRAFFIC, LABEL_ROTATION, ROTATION_OUT
from trireme_operator.collector import Listening
from trireme_operator.controller.causes import is_ready
from trireme_operator.controller.claims import NOT_YET
from trireme_operator.controller.groups import Group
from trireme_operator.controller.routes import weights_in
from trireme_operator.controller.scope import Scope
from trireme_operator.controller.times import seconds
from trireme_operator.kube import HTTP_ROUTE, Obj
from trireme_operator.planning import (
    ClusterPlan,
    Hold,
    LiveTraffic,
    Mark,
    Pace,
    Proof,
    Queue,
    Voice,
    Way,
    ZoneFacts,
    ZoneWeight,
    averaged_seconds,
    balancing,
)
from trireme_operator.planning.pace import decode


def live_traffic(scope: Scope, wanted: ClusterPlan) -> LiveTraffic | None:
    """What the live route says now: the memory of which zone was out of traffic, or had less. None without a route."""
    route = scope.children.get(HTTP_ROUTE, wanted.route_name)
    if route is None:
        return None
    annotations = route["metadata"].get("annotations") or {}
    parts = balancing.decode(annotations.get(ANNOTATION_BALANCE))
    return LiveTraffic(weights_in(route, wanted.zones), decode(annotations.get(ANNOTATION_TRAFFIC)), parts)


WITNESS_SECONDS = 1.5
"""How much later than a silent zone another one must have been heard."""
STEADY_SECONDS = 3.0
"""And for how long: whoever was cut off hears one zone first, and each of the others within two seconds."""
LOOK_SECONDS = 0.75
"""Between two looks for that, for as long as `LOOKS_SECONDS`; after it only news count."""
LOOKS_SECONDS = 3.0
PROOF_SECONDS = 5.0
"""Between two looks at a completion that has not passed: it is asked for only while somebody wants it."""


def made_at(scope: Scope, wanted: ClusterPlan) -> str:
    """When the route was made, as the API server writes it; later than anything when there is none yet."""
    route = scope.children.get(HTTP_ROUTE, wanted.route_name)
    return NOT_YET if route is None else str(route["metadata"].get("creationTimestamp") or NOT_YET)


def marks_change(before: LiveTraffic | None, weighed: Mapping[str | None, ZoneWeight]) -> bool:
    """Whether the route remembers something else from now on, by which the next reconcile goes."""
    marks = {name: zone.mark for name, zone in weighed.items() if zone.mark is not None}
    return before is not None and marks != before.marks


ListenFn = Callable[[Iterable[str]], Listening | None]
"""What is heard of leaders, by the UIDs of their pods."""


ProveFn = Callable[[str, str], Proof]
"""Whether a completion passed, asked of the leader in the pod of a UID, for a question."""


QueueFn = Callable[[str, float], Queue | None]
"""The requests in the engine of the pod of a UID, averaged over so many seconds; None when that isn't known yet."""


@dataclass(frozen=True)
class Ears:
    """What the launchers are asked, and what is heard of them."""

    listen: ListenFn = lambda _: None
    prove: ProveFn = lambda *_: Proof.UNAVAILABLE
    queue: QueueFn = lambda *_: None


def facts(
    groups: Mapping[str | None, Sequence[Group]],
    pace: Pace,
    *,
    now: int,
    ears: Ears,
    live: LiveTraffic | None,
    hold: Callable[[str | None], Hold | None] = lambda _: None,
) -> dict[str | None, ZoneFacts]:
    """Each zone by its name; `now` in seconds since the epoch, `hold` says which are to be out of traffic."""
    observed = _observed(groups, pace, now=now, listen=ears.listen)
    found = {name: replace(each, hold=hold(name)) for name, each in observed.items()}
    for name, mark in (live.marks if live is not None else {}).items():
        if name in found and _nobody_can_be_asked(mark, found[name], groups[name], ears.listen):
            found[name] = replace(found[name], settled=0, settles=float(pace.dwell))
        if mark.way is Way.OUT and name in found and found[name].settled and found[name].hold is None:
            leader = next(group.leader for group in groups[name] if group.ready and not is_out(group) and group.leader)
            proof = ears.prove(leader["metadata"].get("uid", ""), str(mark.since))
            waits = PROOF_SECONDS if proof in {Proof.PENDING, Proof.FAILED} else None
            found[name] = replace(found[name], proof=proof, judged=found[name].judged or waits)
    return found


def _nobody_can_be_asked(mark: Mark, seen: ZoneFacts, groups: Sequence[Group], listen: ListenFn) -> bool:
    """Of a zone that was silent: perhaps its node comes back, and its pods say that they are ready, as they were."""
    return mark.reason is WeightReason.SILENT and seen.ready > 0 and listen(_leaders(groups)) is None


def with_queues(
    found: Mapping[str | None, ZoneFacts],
    groups: Mapping[str | None, Sequence[Group]],
    ask: QueueFn,
    interval: int | None,
) -> dict[str | None, ZoneFacts]:
    """The same, with the queue of each zone where weights go by it: every `interval` seconds."""
    if interval is None:
        return dict(found)
    seconds = averaged_seconds(interval)
    return {name: replace(each, queue=_queue(groups[name], ask, seconds)) for name, each in found.items()}


def _queue(groups: Sequence[Group], ask: QueueFn, seconds: float) -> Queue | None:
    """Of each ready group, as far as it is known: a group is only when all of its pods that serve say it."""
    ready = [group for group in groups if group.ready and not is_out(group)]
    asked = [[ask(pod["metadata"].get("uid", ""), seconds) for pod in _serving(group.pods)] for group in ready]
    told = [[queue.length if queue else None for queue in queues] for queues in asked]
    sums = [sum(known) for lengths in told if (known := [each for each in lengths if each is not None]) == lengths]
    if sums:
        return Queue(sum(sums) / len(sums))
    return None if any(queue is None for queues in asked for queue in queues) else Queue(None)


def _observed(
    groups: Mapping[str | None, Sequence[Group]], pace: Pace, *, now: int, listen: ListenFn
) -> dict[str | None, ZoneFacts]:
    heard = {name: listen(_leaders(found)) for name, found in groups.items()}
    speaking = [each for each in heard.values() if each is not None and each.silence is None]
    return {name: _facts(found, heard[name], pace, now=now, speaking=speaking) for name, found in groups.items()}


def _facts(
    groups: Sequence[Group], listening: Listening | None, pace: Pace, *, now: int, speaking: Sequence[Listening]
) -> ZoneFacts:
    """`speaking`: what is heard of those zones of the resource that are not silent."""
    ready = [group for group in groups if group.ready and not is_out(group)]
    steady = _steady(listening, pace)
    waits = [max(0.0, pace.dwell - min(float(now - _ready_since(group, now)), steady)) for group in ready]
    voice, judged = _voice(listening, pace, speaking)
    return ZoneFacts(
        ready=len(ready),
        settled=sum(wait <= 0 for wait in waits),
        settles=min((wait for wait in waits if wait > 0), default=None),
        was_ready=any(_was_ready(pod) for group in groups for pod in _serving(group.pods)),
        voice=voice,
        judged=judged,
    )


def _steady(listening: Listening | None, pace: Pace) -> float:
    """Seconds for which it has been heard; launchers that can't be reached at all count from when they were asked."""
    if listening is None:
        return float(pace.dwell)
    return listening.asked if listening.heard is None else listening.steady or 0.0


def _leaders(groups: Sequence[Group]) -> list[str]:
    return [group.leader["metadata"].get("uid", "") for group in groups if group.leader is not None]


def _voice(listening: Listening | None, pace: Pace, speaking: Sequence[Listening]) -> tuple[Voice, float | None]:
    """And the seconds until that may be another one without news.

    Whoever is cut off hears all zones for the last time within a second or so of each other, and then again for the
    first time. So a silence is a zone's own only when another zone was heard well after it had begun, and for a while.
    """
    if listening is None:
        return Voice.UNKNOWN, None
    silence = listening.silence
    if listening.heard is None:
        return _never_heard(silence, pace, speaking)
    if silence is None:
        return Voice.HEARD, None
    if silence < pace.detect:
        return Voice.HEARD, pace.detect - silence
    if is_witnessed(silence, speaking):
        return Voice.SILENT, None
    return Voice.CUT_OFF, LOOK_SECONDS if speaking or silence < pace.detect + LOOKS_SECONDS else None


def _never_heard(silence: float | None, pace: Pace, speaking: Sequence[Listening]) -> tuple[Voice, float | None]:
    """Perhaps nobody can be reached from here; where others can, it is this zone.

    A silence that is as old as this process makes no news when it has lasted, so it is looked at again.
    """
    if not speaking:
        return Voice.UNKNOWN, None
    if silence is None or silence < pace.detect:
        return Voice.UNKNOWN, max(pace.detect - (silence or 0.0), LOOK_SECONDS)
    return (Voice.SILENT, None) if is_witnessed(silence, speaking) else (Voice.UNKNOWN, LOOK_SECONDS)


def is_witnessed(silence: float, speaking: Iterable[Listening]) -> bool:
    """Whether others were heard after a silence of so many seconds had begun, and would have been if it were ours."""
    return any(
        each.heard is not None
        and each.heard < silence - WITNESS_SECONDS
        and each.steady is not None
        and each.steady >= STEADY_SECONDS
        for each in speaking
    )


def is_out(group: Group) -> bool:
    """Whether the pods of the group were taken out of the Services."""
    labels = {} if group.leader is None else group.leader["metadata"].get("labels") or {}
    return labels.get(LABEL_ROTATION) == ROTATION_OUT


def _ready_since(group: Group, now: int) -> int:
    """When the last of its serving pods became ready; what is not known was long ago, and nothing is in the future."""
    moments = [seconds(_condition(pod, "Ready").get("lastTransitionTime")) for pod in _serving(group.pods)]
    return min(now, max((moment for moment in moments if moment is not None), default=0))


def _serving(pods: Iterable[Obj]) -> list[Obj]:
    found = tuple(pods)
    return [pod for pod in found if pod is found[0] or LABEL_ROTATION in (pod["metadata"].get("labels") or {})]


def _was_ready(pod: Obj) -> bool:
    """Whether the pod is ready, or was: what never was has been unready since before its containers began."""
    if is_ready(pod):
        return True
    ready, begun = _condition(pod, "Ready"), _condition(pod, "Initialized")
    if ready.get("status") == "True":
        return True  # it is being deleted
    since, began = seconds(ready.get("lastTransitionTime")), seconds(begun.get("lastTransitionTime"))
    return since is not None and began is not None and begun.get("status") == "True" and since > began


def _condition(pod: Obj, kind: str) -> Mapping[str, str]:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item.get("type") == kind), {})
