"""The other pods of the group, asked once a second: the roster decides, the watches feed it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from trireme_runtime import members, metrics
from trireme_runtime.drain import WorkerView
from trireme_runtime.environment import Environment
from trireme_runtime.membership import Place, Thresholds
from trireme_runtime.preflight.report import Other
from trireme_runtime.roster import LEADER_INDEX, Roster
from trireme_runtime.stage import Stage
from trireme_runtime.watch import MemberWatch, queue_length


class Group:
    """A leader watches all its workers, a worker its leader; a group of one pod watches nobody."""

    def __init__(self, environment: Environment) -> None:
        self._is_leader = environment.is_leader
        self._own_uid = environment.pod_uid
        self.epoch: str | None = None
        indices = range(1, environment.group_size) if self._is_leader else [LEADER_INDEX]
        names = {index: _name(environment.leader_address, index) for index in indices}
        self.roster = Roster(
            [Place(index, _pod(name), index * environment.ranks_per_pod) for index, name in names.items()],
            is_leader=self._is_leader,
            thresholds=Thresholds(environment.member_silent_seconds, environment.member_lost_seconds),
        )
        self._watches = {
            index: MemberWatch(member, names[index], environment.launcher_port)
            for index, member in self.roster.members.items()
        }

    def waits_for(self, now: float, met: Mapping[int, str] | None = None) -> str:
        """Why this pod's engine must not start yet; ``met`` are the UIDs of the workers in a leader's preflight."""
        return self.roster.waits_for(now, met)

    def others(self) -> dict[int, Other]:
        """All other pods that this one hears, for a preflight."""
        return {
            index: Other(member.pod, member.pod_uid, self._watches[index].address or "", member.preflight)
            for index, member in self.roster.answers().items()
        }

    def changed(self, now: float, met: Mapping[int, str]) -> str:
        """Why a leader's preflight with the workers ``met`` (UIDs by index) is void: a proof, silence is none."""
        gone = (each.trouble(now) for each in self.roster.members.values() if each.pulse.refusals)
        return next(gone, "") or members.leader_waits_for(self.roster.answers(), met)

    def proving_leader(self) -> Other | None:
        """A worker's leader while it leads a preflight; what it said last counts until it is proven to be gone."""
        leader = self.roster.answers().get(LEADER_INDEX)
        gone = self.roster.members[LEADER_INDEX].pulse.refusals > 0
        proving = leader is not None and leader.stage == Stage.PREFLIGHT.value and leader.preflight is not None
        return self.others()[LEADER_INDEX] if proving and not gone else None

    def begin(self) -> None:
        """The engine starts: the epoch is the UID of the leader, which a worker has just heard."""
        leader = self.roster.answers().get(LEADER_INDEX)
        self.epoch = self._own_uid if leader is None else leader.pod_uid
        self.roster.begin(self.epoch)

    def leader_drains(self) -> bool:
        """Whether a worker's leader has begun to let the group's requests finish."""
        return not self._is_leader and self.roster.drains()

    def unfinished(self) -> int | None:
        """Requests in the engines of all workers that answer HTTP, as their launchers count them; None = unknown."""
        seen = self.roster.answers()
        if len(seen) < len(self._watches):
            return None
        return metrics.total(member.unfinished for member in seen.values())

    def queue_length(self, port: int) -> int | None:
        """The same for a group that does not drain, asked of the engines now, all at once; None = unknown."""
        if any(watch.address is None for watch in self._watches.values()):
            return None
        with ThreadPoolExecutor(max_workers=len(self._watches)) as asking:
            counts = asking.map(lambda watch: queue_length(str(watch.address), port), self._watches.values())
            return metrics.total(counts)

    def set_eager(self, eager: bool) -> None:  # noqa: FBT001 - a setter
        """Ask more often while the group is not ready, so that it is ready as soon as it can be."""
        for watch in self._watches.values():
            watch.eager = eager

    def leader_view(self, now: float, elapsed: float) -> WorkerView:
        """What a worker that got SIGTERM ``elapsed`` seconds ago knows of its leader."""
        leader = self.roster.members[LEADER_INDEX]
        return WorkerView(
            elapsed=elapsed,
            leader_refusals=leader.pulse.refusals,
            leader_silent_for=leader.pulse.silent_for(now),
            leader_lost=leader.death is not None or (leader.latest is not None and not leader.latest.engine_running),
        )

    def as_json(self, now: float) -> list[dict[str, object]]:
        """``members`` of /statusz."""
        return self.roster.as_json(now, {index: watch.address for index, watch in self._watches.items()})


def _name(leader_address: str, index: int) -> str:
    return leader_address if index == LEADER_INDEX else members.worker_address(leader_address, index)


def _pod(name: str) -> str:
    """A pod's name in DNS begins with its own."""
    return name.partition(".")[0]
