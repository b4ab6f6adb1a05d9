"""The revisions of a resource, as its ControllerRevisions and LeaderWorkerSets tell them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trireme_operator.api import ConditionType, InferenceCluster, InvalidResource, Reason, parse
from trireme_operator.api.labels import ANNOTATION_REVISION, LABEL_CLUSTER, LABEL_ZONE
from trireme_operator.planning import Difference, differences, revision_name, template_inputs

if TYPE_CHECKING:
    from trireme_operator.kube import UserApi

POOL = "any"
"""What the zone of a resource without zones is called."""


class NoSuchRevisionError(Exception):
    """The history does not hold what was asked for; the message says what it holds."""


@dataclass(frozen=True)
class Revision:
    """One stored revision. ``inputs`` is empty where an older operator stored none; ``zones`` are those that run it."""

    number: int
    name: str
    created: datetime
    inputs: dict[str, Any]
    template: dict[str, Any]
    zones: tuple[str, ...]

    def __str__(self) -> str:
        return f"revision {self.number} ({self.name})"


@dataclass(frozen=True)
class History:
    """A resource and its revisions, oldest first.

    ``refusal`` says why while the spec breaks a rule. ``cluster`` is None when it can't even be read; a rule that needs
    more than the spec, such as the dimensions of its model, is the operator's to judge.
    """

    raw: dict[str, Any]
    revisions: tuple[Revision, ...]
    cluster: InferenceCluster | None
    refusal: str

    @property
    def wanted(self) -> str | None:
        """The name of the revision that the spec asks for; for a refused spec what the status said last."""
        if self.cluster is not None:
            return revision_name(self.cluster)
        return (self.raw.get("status") or {}).get("revision")

    @property
    def newer_rendering(self) -> str | None:
        """The revision that the operator would render the same inputs to, as it said in the status."""
        return (self.raw.get("status") or {}).get("newerRendering")

    def find(self, which: str | None) -> Revision:
        """A revision by its number or name, the newest for None. Raises NoSuchRevisionError."""
        for revision in reversed(self.revisions):
            if which is None or which in (str(revision.number), revision.name):
                return revision
        known = ", ".join(str(revision.number) for revision in self.revisions)
        raise NoSuchRevisionError(f"there is no revision {which or 'yet'}: the history holds {known or 'none yet'}")

    def asked_for(self) -> Revision | None:
        """The revision that the spec asks for, when the operator has stored it already."""
        return next((revision for revision in self.revisions if revision.name == self.wanted), None)

    def before(self, revision: Revision) -> Revision | None:
        """The revision that came before another one."""
        earlier = [other for other in self.revisions if other.number < revision.number]
        return earlier[-1] if earlier else None


async def history_of(api: UserApi, namespace: str, name: str) -> History:
    """Read a resource and its history. Raises the client's errors, NotFound among them."""
    from trireme_operator.kube import (  # noqa: PLC0415 - see `cluster.ask`
        CONTROLLER_REVISION,
        INFERENCE_CLUSTER,
        LEADER_WORKER_SET,
    )

    raw = await api.get(INFERENCE_CLUSTER, namespace, name)
    label = f"{LABEL_CLUSTER}={name}"
    sets = _owned(await api.list(LEADER_WORKER_SET, namespace, labels=label), raw)
    stored = _owned(await api.list(CONTROLLER_REVISION, namespace, labels=label), raw)
    users: dict[str, list[str]] = {}
    for live in sets:
        used = (live["metadata"].get("annotations") or {}).get(ANNOTATION_REVISION, "")
        users.setdefault(used, []).append(live["metadata"]["labels"].get(LABEL_ZONE) or POOL)
    revisions = sorted((_revision(obj, users) for obj in stored), key=lambda revision: revision.number)
    try:
        cluster = parse(raw)
        template_inputs(cluster)
        return History(raw, tuple(revisions), cluster, _refusal(raw))
    except InvalidResource as error:
        return History(raw, tuple(revisions), None, str(error))


def changes(before: Revision | None, after: Revision) -> tuple[Difference, ...]:
    """What a revision changed: inputs, or values of the template where the same inputs were rendered again."""
    if before is None:
        return ()
    if before.inputs != after.inputs:
        return tuple(differences(before.inputs, after.inputs))
    return tuple(differences(before.template, after.template, "template"))


def shown(value: Any) -> str:
    """A value as JSON, or a dash for none."""
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _refusal(raw: dict[str, Any]) -> str:
    """What the operator says against the spec as it is; empty when it says nothing."""
    conditions = (raw.get("status") or {}).get("conditions") or []
    accepted: dict[str, Any] = next((each for each in conditions if each["type"] == ConditionType.ACCEPTED), {})
    current = accepted.get("observedGeneration") == raw["metadata"].get("generation")
    refused = current and accepted.get("reason") == Reason.INVALID_SPEC
    return str(accepted["message"]) if refused else ""


def _revision(obj: dict[str, Any], users: dict[str, list[str]]) -> Revision:
    metadata = obj["metadata"]
    return Revision(
        number=int(obj["revision"]),
        name=metadata["name"],
        created=datetime.strptime(metadata["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
        inputs=obj["data"].get("inputs") or {},
        template=obj["data"]["template"],
        zones=tuple(sorted(users.get(metadata["name"], ()))),
    )


def _owned(objs: Iterable[dict[str, Any]], raw: dict[str, Any]) -> list[dict[str, Any]]:
    uid = raw["metadata"]["uid"]
    return [
        obj for obj in objs if any(owner.get("uid") == uid for owner in obj["metadata"].get("ownerReferences") or [])
    ]
