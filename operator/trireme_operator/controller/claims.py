"""Which resources want the same host name and path of the same listener: the older route gets all requests.

By the Gateway API (sigs.k8s.io/gateway-api v1.6.1, apis/v1/httproute_types.go, HTTPRouteRule.Matches) such routes are
merged, the one made first wins, and no status tells of it. What is known here comes from reconciles alone, and is
whole when each resource was looked at once.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from trireme_operator.api import InferenceCluster
from trireme_operator.controller.queue import Key

NOT_YET = "9999"
"""The age of a route that is still to be made: younger than any other."""

_Place = tuple[str, str, str, str]
"""Namespace and name of a gateway, host name (empty for those of the listener), and path."""


@dataclass(frozen=True)
class _Claim:
    """What a resource wants, by place the listener's name (empty for all), and when its route was made (RFC 3339)."""

    made: str
    places: dict[_Place, str]


class Claims:
    """Belongs to one event loop. `wake` is called with each resource that would be told of another one now.

    Those who want one place are told of the oldest; a younger one that comes or goes is no news to them, however many
    they are.
    """

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._claims: dict[Key, _Claim] = {}
        self._who: defaultdict[_Place, set[Key]] = defaultdict(set)
        self._told: dict[Key, Key | None] = {}
        """The answer that each resource got last."""

    def note(self, key: Key, cluster: InferenceCluster, made: str) -> Key | None:
        """What the resource wants now; returns the one whose route is older and takes the same requests, if any."""
        claim = _Claim(made, _places(cluster))
        if self._claims.get(key) != claim:
            self.forget(key)
            self._claims[key] = claim
            for place in claim.places:
                self._who[place].add(key)
            for other in self._rivals(key, claim):
                if self._is_news_to(key, other):
                    self._wake(other)
        older = [other for other in self._rivals(key, claim) if self._rank(other) < self._rank(key)]
        self._told[key] = min(older, key=self._rank, default=None)
        return self._told[key]

    def forget(self, key: Key) -> None:
        """The resource is gone, or wants something else."""
        claim = self._claims.pop(key, None)
        if claim is None:
            return
        self._told.pop(key, None)
        for other in self._rivals(key, claim):
            if self._told.get(other) == key:
                self._wake(other)
        for place in claim.places:
            self._who[place].discard(key)
            if not self._who[place]:
                del self._who[place]

    def _rank(self, key: Key) -> tuple[str, str, str]:
        return self._claims[key].made, key.namespace, key.name

    def _rivals(self, key: Key, claim: _Claim) -> set[Key]:
        return {
            other
            for place, listener in claim.places.items()
            for other in self._who.get(place, ())
            if other != key and (not listener or self._claims[other].places[place] in {"", listener})
        }

    def _is_news_to(self, key: Key, other: Key) -> bool:
        """Whether it is older than the other one, and than the one that this was told of."""
        told = self._told.get(other)
        first = other if told is None or told not in self._claims else told
        return self._rank(key) < self._rank(first)


def _places(cluster: InferenceCluster) -> dict[_Place, str]:
    gateway = cluster.spec.gateway
    if gateway is None:
        return {}
    return {
        (parent.namespace or cluster.metadata.namespace, parent.name, host, path): parent.section_name or ""
        for parent in gateway.parent_refs
        for host in gateway.hostnames or [""]
        for path in gateway.paths
    }
