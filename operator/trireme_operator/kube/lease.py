"""One holder at a time: a `coordination.k8s.io/v1` Lease, with the rules of client-go's leader election.

- Clocks of two machines are never compared. A Lease that somebody else holds is over when *this* process has seen
  it unchanged for its whole duration; the times in it are for people.
- Every write names the resourceVersion that it was decided on, so of two that take the Lease at once one fails.
- The holder counts from *before* it asked for the renewal, and stops `MARGIN_SECONDS` before anybody may follow it.

Source of the rules: k8s.io/client-go, tools/leaderelection/leaderelection.go.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trireme_operator.kube.errors import Conflict, NotFound
from trireme_operator.kube.fence import boot_seconds
from trireme_operator.kube.kinds import LEASE
from trireme_operator.kube.protocol import KubeApi, Obj

DURATION_SECONDS = 8
RENEW_SECONDS = 2.0
MARGIN_SECONDS = 2.0
RELEASED_SECONDS = 1
"""The duration in a released Lease, as client-go writes it; an empty holder can be followed at once."""

_MANAGER = "trireme-lease"
"""One for all identities: a field manager for each pod there ever was would stay in the object."""


@dataclass(frozen=True)
class Claim:
    """Which Lease, and who asks for it. The identity must be no other living process's."""

    namespace: str
    name: str
    identity: str


class Lease:
    """One process's view of the Lease. `now` gives the wall-clock time, for people only."""

    def __init__(
        self, api: KubeApi, claim: Claim, *, now: Callable[[], datetime], clock: Callable[[], float] = boot_seconds
    ) -> None:
        self.claim = claim
        self._api = api
        self._now = now
        self._clock = clock
        self._seen: Obj | None = None
        self._seen_at = float("-inf")

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; empty for nobody."""
        return _holder(self._seen)

    async def hold(self) -> float | None:
        """Renew the Lease, or take it if it is free; returns until when it is surely ours, None when it is not.

        The moment is one of `clock`. Raises KubeError when the API server can't be asked; what was held before then
        stays so until its end.
        """
        for _ in range(2):  # a conflict may come from somebody who only labelled it
            started = self._clock()
            if self.holder != self.claim.identity:
                await self._look()
                if not self._is_free():
                    return None
            try:
                await self._write(self.claim.identity)
            except (Conflict, NotFound):
                self._seen = None  # look again before the next try
                continue
            return started + DURATION_SECONDS - MARGIN_SECONDS
        return None

    async def release(self) -> None:
        """Give the Lease back if we hold it, so that the next one need not wait. Raises KubeError."""
        for _ in range(2):  # a renewal may be on its way, and change the version once
            await self._look()
            if self.holder != self.claim.identity:
                return
            try:
                await self._write("")
            except Conflict:
                continue
            return

    async def _look(self) -> None:
        try:
            found = await self._api.get(LEASE, self.claim.namespace, self.claim.name)
        except NotFound:
            self._seen = None
            return
        if self._seen is None or _version(found) != _version(self._seen):
            self._seen_at = self._clock()
        self._seen = found

    def _is_free(self) -> bool:
        if self._seen is None or self.holder in {"", self.claim.identity}:
            return True
        lasts = int(self._seen["spec"].get("leaseDurationSeconds") or DURATION_SECONDS)
        return self._clock() >= self._seen_at + lasts

    async def _write(self, holder: str) -> None:
        """Of two that create it at once, the second one's field manager is refused what the first one's holds."""
        exists = self._seen is not None
        manager = _MANAGER if exists else self.claim.identity
        self._seen = await self._api.apply(LEASE, self._wanted(holder), manager=manager, force=exists)
        self._seen_at = self._clock()

    def _wanted(self, holder: str) -> Obj:
        before = (self._seen or {}).get("spec") or {}
        time = _stamp(self._now())
        if time == before.get("renewTime"):  # an apply that changes nothing is no renewal that others can see
            time = _stamp(self._now() + timedelta(microseconds=1))
        changes = holder != _holder(self._seen)
        metadata = {"name": self.claim.name, "namespace": self.claim.namespace}
        if self._seen is not None:
            metadata["resourceVersion"] = _version(self._seen)
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": DURATION_SECONDS if holder else RELEASED_SECONDS,
                "acquireTime": time if changes else before.get("acquireTime", time),
                "renewTime": time,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + (1 if changes and holder else 0),
            },
        }


def _holder(lease: Obj | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def _version(lease: Obj) -> str:
    return str(lease["metadata"].get("resourceVersion"))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
