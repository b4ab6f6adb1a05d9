"""Selectors and peers as Kubernetes has them, typed.

Fields and rules: k8s.io/apimachinery v0.36.3, pkg/apis/meta/v1/types.go (LabelSelector), and k8s.io/api v0.36.3,
networking/v1/types.go (NetworkPolicyPeer).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trireme_operator.api.addresses import NO_RANGE, is_inside, network
from trireme_operator.api.base import ATOMIC, LABEL_VALUE_PATTERN, Model
from trireme_operator.api.violations import Violation

LABEL_KEY_PATTERN = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"

LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=LABEL_KEY_PATTERN)]
LabelValue = Annotated[str, Field(max_length=63, pattern=f"^$|{LABEL_VALUE_PATTERN}")]


class LabelOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelRequirement(Model):
    """One condition on a label."""

    key: LabelKey
    """The label's key."""

    operator: LabelOperator
    """How the label is compared: `In` and `NotIn` with `values`, `Exists` and `DoesNotExist` without."""

    values: list[LabelValue] = Field(default_factory=list, max_length=16, json_schema_extra=ATOMIC)
    """The values of `In` and `NotIn`."""


class LabelSelector(Model):
    """Objects by their labels: all of `matchLabels` and all of `matchExpressions`; an empty one selects everything."""

    match_labels: dict[str, LabelValue] = Field(default_factory=dict, max_length=16)
    """Labels with their values, for example `kubernetes.io/metadata.name: ingress` for a namespace."""

    match_expressions: list[LabelRequirement] = Field(default_factory=list, max_length=16, json_schema_extra=ATOMIC)
    """Further conditions."""


class IPBlock(Model):
    """A range of addresses. Addresses of pods change, so this is for what is outside of the cluster."""

    cidr: Annotated[str, Field(min_length=1, max_length=49)]
    """The range, for example `10.0.0.0/8` or `2001:db8::/32`."""

    except_: list[Annotated[str, Field(min_length=1, max_length=49)]] = Field(
        default_factory=list, max_length=16, alias="except", json_schema_extra=ATOMIC
    )
    """Ranges inside of `cidr` that are left out."""


class Peer(Model):
    """Somebody who may connect: pods, pods of other namespaces, or a range of addresses."""

    pod_selector: LabelSelector | None = None
    """Pods by their labels, in the resource's namespace, or in those of `namespaceSelector`. Default: all pods of those
    namespaces."""

    namespace_selector: LabelSelector | None = None
    """Namespaces by their labels; `{}` is every namespace. Default: the resource's own."""

    ip_block: IPBlock | None = None
    """A range of addresses, instead of the selectors."""


def violations(peers: Sequence[Peer], path: str) -> Iterator[Violation]:
    """What the API server would refuse in a NetworkPolicy and no schema can see: labels' keys, ranges of addresses."""
    for index, peer in enumerate(peers):
        at = f"{path}[{index}]"
        for name, selector in (("podSelector", peer.pod_selector), ("namespaceSelector", peer.namespace_selector)):
            for key in selector.match_labels if selector is not None else ():
                if not re.fullmatch(LABEL_KEY_PATTERN, key):
                    yield Violation(f"{at}.{name}.matchLabels", f"{key!r} is no label's key: write [PREFIX/]NAME")
        if peer.ip_block is not None:
            yield from _block(peer.ip_block, f"{at}.ipBlock")


def _block(block: IPBlock, path: str) -> Iterator[Violation]:
    whole = network(block.cidr)
    if whole is None:
        yield Violation(f"{path}.cidr", f"{block.cidr!r} {NO_RANGE}")
    for index, text in enumerate(block.except_):
        part = network(text)
        if part is None:
            yield Violation(f"{path}.except[{index}]", f"{text!r} {NO_RANGE}")
        elif whole is not None and not is_inside(part, whole):
            yield Violation(f"{path}.except[{index}]", f"{text} is no smaller range inside of {block.cidr}")
