"""Which rights the operator needs, and which of them it was not given.

The API server is asked (by reviews, which store nothing), because nobody else tells: a watch that is no
longer allowed ends silently, and a missing delete is noticed when it is too late. `charts/trireme/templates/_rules.tpl`
grants exactly what stands here; a test compares the two.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import structlog

from trireme_operator.api.autoscaling import MetricsSource
from trireme_operator.api.failover import ReplaceLostPods
from trireme_operator.api.gateway import GatewayPolicy
from trireme_operator.api.monitoring import PodMonitorMode
from trireme_operator.controller.scope import CHILD_KINDS
from trireme_operator.kube import (
    API_SERVICE,
    BACKEND_TRAFFIC_POLICY,
    CONFIG_MAP,
    EVENT,
    GATEWAY,
    HORIZONTAL_POD_AUTOSCALER,
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    INFERENCE_POOL,
    NETWORK_POLICY,
    NODE,
    POD,
    POD_MONITOR,
    SCALED_OBJECT,
    Fence,
    Kind,
    KubeError,
    Obj,
)

REVIEW = Kind("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview")
ACCESS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
SLOW_SECONDS = 60.0
FAST_SECONDS = 2.0
"""Between two looks while a right is missing, and after a call was refused."""
_ANY = "*"


class Right(NamedTuple):
    """One verb on one resource (with a subresource after a slash) of one API group."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


class Reviewer(Protocol):
    """What is asked."""

    async def ask(self, kind: Kind, spec: Obj) -> Obj:
        """See `KubernetesApi.ask`."""
        ...


_WATCHED = ("list", "watch")
_KEPT = ("get", *_WATCHED, "create", "patch", "delete")

NEEDED: tuple[Right, ...] = (
    *(Right(verb, INFERENCE_CLUSTER.group, INFERENCE_CLUSTER.plural) for verb in ("get", *_WATCHED)),
    Right("patch", INFERENCE_CLUSTER.group, f"{INFERENCE_CLUSTER.plural}/status"),
    *(Right(verb, kind.group, kind.plural) for kind in CHILD_KINDS for verb in _KEPT),
    *(Right(verb, POD.group, POD.plural) for verb in (*_WATCHED, "patch")),
    *(Right(verb, EVENT.group, EVENT.plural) for verb in ("create", "patch")),
    Right("get", CONFIG_MAP.group, CONFIG_MAP.plural),
    Right("get", GATEWAY.group, GATEWAY.plural),
    Right("list", API_SERVICE.group, API_SERVICE.plural),
)
"""In each namespace that is served."""

ON_REQUEST = (Right("delete", POD.group, POD.plural),)
"""What the chart gives only where it is asked to, `rbac.replaceLostPods`, with the field that needs it:
`spec.failover.replaceLostPods: Force`."""

OF_NODES = tuple(Right(verb, NODE.group, NODE.plural) for verb in _WATCHED)
"""What the chart gives with `nodeMaintenance.enabled`, and the operator then needs."""

OBSERVED = frozenset((kind.group, kind.plural) for kind in (*CHILD_KINDS, POD))
"""What must be listed before anything can be said or done about a resource."""


@dataclass(frozen=True)
class Missing:
    """The rights that are missing for one resource."""

    rights: tuple[Right, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rights)

    def __str__(self) -> str:
        values = (("rbac.replaceLostPods", ON_REQUEST), ("nodeMaintenance.enabled", OF_NODES))
        given = [f"{name}=true" for name, rights in values if set(self.rights) & set(rights)]
        asked = f" with {' and '.join(given)}" if given else ""
        return (
            f"the operator lacks these rights: {', '.join(map(str, self.rights))}; give its service account those of "
            f"the chart's roles back (helm upgrade{asked}, or kubectl apply of the manifests)"
        )

    @property
    def blinds(self) -> bool:
        """Whether children or pods can't be seen at all."""
        return any(right.verb == "list" and (right.group, right.resource) in OBSERVED for right in self.rights)


class Rights:
    """What is missing, by namespace.

    `changed` is called when that changes; `refused` is set by whoever got an answer of 403; `needed` is what this
    installation needs.
    """

    def __init__(
        self,
        api: Reviewer,
        fence: Fence,
        refused: asyncio.Event,
        *,
        namespaces: Sequence[str],
        changed: Callable[[], None],
        needed: Sequence[Right] = NEEDED,
    ) -> None:
        self._needed = tuple(needed)
        self._api = api
        self._fence = fence
        self._namespaces = tuple(namespaces)
        self._changed = changed
        self._missing: dict[str, tuple[Right, ...]] = {}
        self._refused = refused
        self._forced = False

    def missing(self, raw: Obj) -> Missing:
        """What is missing for this resource: rights on an optional API count where it is used."""
        namespace = raw["metadata"]["namespace"] if self._namespaces else ""
        spec = raw.get("spec") or {}
        unused = set() if spec.get("gateway") else {HTTP_ROUTE, GATEWAY}
        if (spec.get("gateway") or {}).get("policy") in {None, GatewayPolicy.OFF}:
            unused.add(BACKEND_TRAFFIC_POLICY)
        if (spec.get("gateway") or {}).get("endpointPicker") is None:
            unused.add(INFERENCE_POOL)
        if not spec.get("autoscaling"):
            unused |= {HORIZONTAL_POD_AUTOSCALER, API_SERVICE}
        if (spec.get("autoscaling") or {}).get("source") != MetricsSource.KEDA:
            unused.add(SCALED_OBJECT)
        if not spec.get("networkPolicy"):
            unused.add(NETWORK_POLICY)
        if (spec.get("monitoring") or {}).get("podMonitor") == PodMonitorMode.NEVER:
            unused.add(POD_MONITOR)
        if not _names_config_map(spec):
            unused.add(CONFIG_MAP)
        passed = {(kind.group, kind.plural) for kind in unused}
        found = self._missing.get(namespace, ())
        forces = (spec.get("failover") or {}).get("replaceLostPods") == ReplaceLostPods.FORCE
        self._forced = self._forced or forces
        if not forces:
            found = _given(found)
        return Missing(tuple(right for right in found if (right.group, right.resource) not in passed))

    async def run(self) -> None:
        """Look for ever, while this process may say something about it."""
        while True:
            if self._fence.is_open:
                await self.look()
            fast = any(_given(found) for found in self._missing.values()) or not self._fence.is_open
            try:
                async with asyncio.timeout(FAST_SECONDS if fast else SLOW_SECONDS):
                    await self._refused.wait()
                await asyncio.sleep(FAST_SECONDS)  # refusals come in swarms
                self._refused.clear()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Ask once for each namespace (for any, when all are served). What can't be told is not missing."""
        for namespace in self._namespaces or ("",):
            try:
                missing = await self._look(namespace)
            except KubeError as error:
                structlog.get_logger().warning("Asking for the rights failed", reason=str(error))
                continue
            before, self._missing[namespace] = self._missing.get(namespace, ()), missing
            if _given(missing) != _given(before):
                self._tell(namespace, _given(missing))
                self._changed()
            elif missing != before and self._forced:
                self._changed()

    async def _look(self, namespace: str) -> tuple[Right, ...]:
        """By the list of all rules; where an authorizer can't list its own (a webhook), each open one is asked for."""
        status = (await self._api.ask(REVIEW, {"namespace": namespace or "default"})).get("status") or {}
        missing = tuple(sorted(_missing((*self._needed, *ON_REQUEST), status)))
        if not status.get("incomplete"):
            return missing
        return tuple([right for right in missing if not await self._allowed(right, namespace)])

    async def _allowed(self, right: Right, namespace: str) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource}
        answer = await self._api.ask(ACCESS, {"resourceAttributes": attributes | {"namespace": namespace}})
        return bool((answer.get("status") or {}).get("allowed"))

    def _tell(self, namespace: str, missing: tuple[Right, ...]) -> None:
        log = structlog.get_logger()
        if missing:
            log.warning("Rights are missing", rights=[str(right) for right in missing], namespace=namespace or "all")
        else:
            log.info("All rights are there", namespace=namespace or "all")


def _given(rights: tuple[Right, ...]) -> tuple[Right, ...]:
    """Those that every installation has."""
    return tuple(right for right in rights if right not in ON_REQUEST)


def _missing(needed: Iterable[Right], status: Mapping[str, Any]) -> Iterator[Right]:
    """By the rules of a review; those for single objects by name don't count."""
    rules = [rule for rule in status.get("resourceRules") or [] if not rule.get("resourceNames")]
    yield from (right for right in needed if not any(_grants(rule, right) for rule in rules))


def _grants(rule: Mapping[str, Any], right: Right) -> bool:
    asked = (("verbs", right.verb), ("apiGroups", right.group), ("resources", right.resource))
    return all({_ANY, value} & set(rule.get(field) or ()) for field, value in asked)


def _names_config_map(spec: Mapping[str, Any]) -> bool:
    return bool(((spec.get("model") or {}).get("config") or {}).get("configMap"))
