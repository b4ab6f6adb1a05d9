"""The group as this pod sees it: may the engine start, can the group serve, must it end. Decisions only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trireme_runtime import members
from trireme_runtime.members import Member
from trireme_runtime.membership import Loss, Membership, Place, Thresholds
from trireme_runtime.stage import Stage

LEADER_INDEX = 0


class Roster:
    """A leader's workers, or a worker's leader, by their index in the group."""

    def __init__(self, others: Sequence[Place], *, is_leader: bool, thresholds: Thresholds) -> None:
        self._is_leader = is_leader
        self.members = {place.index: Membership(place, thresholds) for place in others}

    def waits_for(self, now: float, met: Mapping[int, str] | None = None) -> str:
        """Why this pod's engine must not start yet; ``met`` are the UIDs of the workers in a leader's preflight."""
        if trouble := self._trouble(now):
            return trouble
        seen = self.answers()
        return members.leader_waits_for(seen, met) if self._is_leader else members.worker_waits_for(seen[LEADER_INDEX])

    def begin(self, epoch: str) -> None:
        """The engine of this pod starts in ``epoch``, the UID of the leader."""
        for each in self.members.values():
            each.begin(epoch)

    def obstacle(self, now: float) -> str:
        """Why the group cannot serve, after this pod's engine started."""
        if trouble := self._trouble(now):
            return trouble
        return next((text for each in self.members.values() if (text := self._obstacle(each))), "")

    def death(self) -> Loss | None:
        """A member that joined and is proven dead: one that said why first, as the others may have followed it."""
        deaths = [each.death for each in self.members.values() if each.death is not None]
        return next((death for death in deaths if death.cause is not None), deaths[0] if deaths else None)

    def lost(self, now: float) -> Loss | None:
        """A member that has been silent for too long."""
        return next((loss for each in self.members.values() if (loss := each.lost(now))), None)

    def steady_since(self) -> float | None:
        """When the last of the members came back; None when one has never been heard."""
        times = [each.pulse.steady_since for each in self.members.values()]
        known = [each for each in times if each is not None]
        return max(known) if known and len(known) == len(times) else None

    def heard_since(self, now: float) -> float:
        """Since when all members have been heard without a gap: infinity while one is silent, -infinity without any."""
        if self._trouble(now):
            return float("inf")
        since = self.steady_since()
        return float("-inf") if since is None else since

    def drains(self) -> bool:
        """Whether a pod that belongs to this start has been told to end."""
        answers = [each.latest for each in self.members.values() if each.joined]
        return any(said is not None and said.stage == Stage.DRAINING.value for said in answers)

    def answers(self) -> dict[int, Member]:
        return {index: each.latest for index, each in self.members.items() if each.latest is not None}

    def as_json(self, now: float, addresses: Mapping[int, str | None]) -> list[dict[str, object]]:
        """``members`` of /statusz; ``addresses`` are those where they answered last."""
        shown: list[dict[str, object]] = []
        for index, member in self.members.items():
            said = member.latest
            shown.append(
                {
                    "index": index,
                    "pod": member.place.pod,
                    "podUID": None if said is None else said.pod_uid,
                    "address": addresses.get(index),
                    "state": member.state(now).value,
                    "heartbeatAge": None if said is None else round(member.pulse.silent_for(now), 3),
                    "stage": None if said is None else said.stage,
                    "reason": member.trouble(now),
                }
            )
        return shown

    def _trouble(self, now: float) -> str:
        return next((text for each in self.members.values() if (text := each.trouble(now))), "")

    def _obstacle(self, member: Membership) -> str:
        said = member.latest
        if said is None or not member.joined:
            return f"{member.place} has not joined yet" + ("" if said is None else f" ({said.stage})")
        if not self._is_leader:
            return "" if said.stage == Stage.READY.value else f"{member.place} ({said.said})"
        # Without its reason: that may be what this launcher says, and the text would grow as it goes back and forth.
        return "" if said.engine_healthy else f"the engine of {member.place} does not serve"
