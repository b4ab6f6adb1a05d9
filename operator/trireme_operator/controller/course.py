"""What each zone is heading for in this reconcile: its drain, its turn in a rollout, and the plan that follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trireme_operator.controller.failures import Past, with_past
from trireme_operator.controller.groups import Group, groups_of
from trireme_operator.controller.replicas import groups_asked_for
from trireme_operator.controller.scope import Scope
from trireme_operator.controller.stalled import HeardFn
from trireme_operator.controller.zone_runs import ASK_AGAIN_SECONDS, zone_runs
from trireme_operator.planning import (
    ClusterPlan,
    Drain,
    DrainPhase,
    Hold,
    RolloutPhase,
    RolloutStep,
    Upkeep,
    ZonePlan,
    ZoneRun,
    drain,
    drain_wishes,
    group_seats,
    revision_name,
    rollout_order,
    rollout_step,
    with_drains,
)

JUDGE_AGAIN_SECONDS = 30
"""A drain that was refused begins by itself when the load allows it."""

Groups = Mapping[str | None, tuple[Group, ...]]


@dataclass(frozen=True)
class Course:
    """`plan` is the resource's with no groups in the zones whose groups end; `groups` are those that it asks for.

    `upkeep` is what maintenance of nodes asks for, by zone; empty where it asks for nothing.
    """

    plan: ClusterPlan
    groups: Groups
    drains: Mapping[str | None, Drain]
    rollout: RolloutStep
    runs: tuple[ZoneRun, ...] = ()
    upkeep: Mapping[str | None, Upkeep] = field(default_factory=dict)

    @property
    def holds(self) -> dict[str | None, Hold]:
        """The zones that are to be out of traffic, and why."""
        rolling = dict.fromkeys(self.rollout.out, Hold.ROLLING_OUT)
        kept = {name: found.hold for name, found in self.upkeep.items() if found.hold is not None}
        return kept | rolling | {name: found.hold for name, found in self.drains.items() if found.hold is not None}

    @property
    def waits(self) -> list[int | None]:
        """Seconds until what nobody announces: a deadline, launchers that have counted again, another load."""
        phases = {found.phase for found in self.drains.values()}
        moves = phases & {DrainPhase.MOVING, DrainPhase.WAITING} or self.rollout.phase is RolloutPhase.MOVING
        moves = moves or any(each.waits or (each.leaves and not each.out) for each in self.upkeep.values())
        refused = DrainPhase.REFUSED in phases
        return [self.rollout.due, ASK_AGAIN_SECONDS if moves else None, JUDGE_AGAIN_SECONDS if refused else None]


def set_course(scope: Scope, wanted: ClusterPlan, pasts: Mapping[str, Past], heard: HeardFn, *, now: int) -> Course:
    """Decide anew from what is there; `now` in seconds since the epoch."""
    groups = {zone.name: _groups(scope, wanted, zone, pasts[zone.lws_name]) for zone in wanted.zones}
    wishes = drain_wishes(scope.cluster)
    runs = zone_runs(scope, wanted, groups, heard, leaving=frozenset(wishes), now=now)
    seats = group_seats(scope.cluster)
    drains = {
        run.name: drain(run, [other for other in runs if other is not run], wishes[run.name], seats=seats)
        for run in runs
        if run.name in wishes
    }
    refused = {name for name, found in drains.items() if found.phase is DrainPhase.REFUSED}
    runs = [replace(run, leaving=run.leaving and run.name not in refused) for run in runs]
    step = rollout_step(runs, rollout_order(scope.cluster), wanted=revision_name(scope.cluster), now=now)
    plan = with_drains(wanted, drains, runs)
    ended = {name for name, found in drains.items() if found.ends}
    return Course(
        plan=plan,
        groups={name: () if name in ended else found for name, found in groups.items()},
        drains=drains,
        rollout=step,
        runs=tuple(runs),
    )


def _groups(scope: Scope, wanted: ClusterPlan, zone: ZonePlan, past: Past) -> tuple[Group, ...]:
    asked, size = groups_asked_for(scope, zone), wanted.geometry.pods
    found = groups_of(zone.lws_name, scope.children.pods, replicas=asked, size=size, now=past.now)
    return tuple(with_past(group, past) for group in found)
