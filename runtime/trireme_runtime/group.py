"""The group as this pod sees it: may the engine start, can the group serve, is the leader gone."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from trireme_runtime import members, metrics
from trireme_runtime.drain import WorkerView
from trireme_runtime.environment import Environment
from trireme_runtime.members import Member
from trireme_runtime.preflight.report import Other
from trireme_runtime.stage import Stage
from trireme_runtime.watch import MemberWatch, queue_length

LEADER_INDEX = 0


class Group:
    """A leader watches all its workers, a worker its leader; a group of one pod watches nobody."""

    def __init__(self, environment: Environment) -> None:
        self._is_leader = environment.is_leader
        self._joined: dict[int, str] = {}
        self._whole_once = False
        port = environment.launcher_port
        if environment.is_leader:
            self._watches = {
                index: MemberWatch(f"worker {index}", members.worker_address(environment.leader_address, index), port)
                for index in range(1, environment.group_size)
            }
        else:
            self._watches = {LEADER_INDEX: MemberWatch("the leader", environment.leader_address, port)}

    def waits_for(self, now: float, met: Mapping[int, str] | None = None) -> str:
        """Why this pod's engine must not start yet; ``met`` are the UIDs of the workers in a leader's preflight."""
        if trouble := self._trouble(now):
            return trouble
        seen = self._members()
        return members.leader_waits_for(seen, met) if self._is_leader else members.worker_waits_for(seen[LEADER_INDEX])

    def others(self) -> dict[int, Other]:
        """All other pods that this one hears, for a preflight."""
        return {
            index: Other(member.pod, member.pod_uid, self._watches[index].address or "", member.preflight)
            for index, member in self._members().items()
        }

    def changed(self, now: float, met: Mapping[int, str]) -> str:
        """Why a leader's preflight with the workers ``met`` (UIDs by index) is void: a proof, silence is none."""
        gone = (watch.pulse.trouble(now) for watch in self._watches.values() if watch.pulse.refusals)
        return next(gone, "") or members.leader_waits_for(self._members(), met)

    def proving_leader(self) -> Other | None:
        """A worker's leader while it leads a preflight; what it said last counts until it is proven to be gone."""
        leader = self._members().get(LEADER_INDEX)
        gone = self._watches[LEADER_INDEX].pulse.refusals > 0
        proving = leader is not None and leader.stage == Stage.PREFLIGHT.value and leader.preflight is not None
        return self.others()[LEADER_INDEX] if proving and not gone else None

    def join(self) -> None:
        """Only the pods that are seen now count from here on."""
        self._joined = {index: member.pod_uid for index, member in self._members().items()}

    def obstacle(self, now: float) -> str:
        """Why the group cannot serve, after this pod's engine started."""
        if trouble := self._trouble(now):
            return trouble
        seen = self._members()
        if not self._is_leader:
            return members.worker_obstacle(seen[LEADER_INDEX], self._joined[LEADER_INDEX])
        if not self._whole_once:
            # A worker of an earlier start may have waited here for a moment before its pod was deleted: the one
            # that takes its place joins the engine as well, as long as the engine still waits for it.
            self.join()
        obstacle = members.leader_obstacle(seen, self._joined)
        self._whole_once = self._whole_once or not obstacle
        return obstacle

    def leader_drains(self) -> bool:
        """Whether a worker's leader has begun to let the group's requests finish."""
        leader = self._members().get(LEADER_INDEX)
        return not self._is_leader and leader is not None and leader.stage == Stage.DRAINING.value

    def unfinished(self) -> int | None:
        """Requests in the engines of all workers that answer HTTP, as their launchers count them; None = unknown."""
        seen = self._members()
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
        watch = self._watches[LEADER_INDEX]
        leader = watch.latest
        return WorkerView(
            elapsed=elapsed,
            leader_refusals=watch.pulse.refusals,
            leader_silent_for=watch.pulse.silent_for(now),
            leader_lost=leader is not None
            and (leader.pod_uid != self._joined.get(LEADER_INDEX) or not leader.engine_running),
        )

    def _members(self) -> dict[int, Member]:
        return {index: watch.latest for index, watch in self._watches.items() if watch.latest is not None}

    def _trouble(self, now: float) -> str:
        return next((trouble for watch in self._watches.values() if (trouble := watch.pulse.trouble(now))), "")
