"""Rules on ``spec.network``: a field that nothing would read is an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trireme_operator.api.rule import Rule
from trireme_operator.api.rules_parallelism import PER_POD, RANKS

_WHERE: Final = "spec.network"
_RESOURCE_NAME: Final = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_BETWEEN_PODS: Final = ("rdmaDevices", "rdmaGidIndex", "rdmaTrafficClass")


def _is_set(field: str) -> str:
    something = f" && self.network.{field}.size() > 0" if field == "rdmaDevices" else ""
    return f"has(self.network) && has(self.network.{field}){something}"


def _for_nccl(field: str) -> Rule:
    return Rule(
        where="spec",
        rule=f"!({_is_set(field)}) || self.accelerator.resource != 'cpu'",
        message=f"network.{field} is a setting of NCCL, and ranks on the processor talk over Gloo: remove it",
        field=f".network.{field}",
    )


def _between_pods(field: str) -> Rule:
    return Rule(
        where="spec",
        rule=f"!({_is_set(field)}) || {RANKS} > {PER_POD}",
        message=(
            f"network.{field} has no effect: a group is one pod, whose ranks need no network; remove it, or set"
            " accelerator.perPod so that a group has several pods"
        ),
        field=f".network.{field}",
    )


def _rules() -> Iterator[Rule]:
    yield Rule(
        where=f"{_WHERE}.rdmaResource",
        rule=f"self == '' || self.matches('{_RESOURCE_NAME}')",
        message="must be the name of an extended resource such as rdma/ib or vpc.amazonaws.com/efa, or empty for none",
    )
    yield Rule(
        where=_WHERE,
        rule="!has(self.rdmaPerPod) || (has(self.rdmaResource) && self.rdmaResource != '')",
        message="rdmaPerPod is a number of rdmaResource, which is not set: set it, or remove rdmaPerPod",
        field=".rdmaPerPod",
    )
    yield Rule(
        where="spec",
        rule=(
            "!(has(self.network) && has(self.network.rdmaResource))"
            " || self.network.rdmaResource != self.accelerator.resource"
        ),
        message=(
            "network.rdmaResource is accelerator.resource already: name the resource of the RDMA devices, or remove it"
        ),
        field=".network.rdmaResource",
    )
    for field in (*_BETWEEN_PODS, "topology"):
        yield _for_nccl(field)
    for field in _BETWEEN_PODS:
        yield _between_pods(field)


RULES: Final = tuple(_rules())
