"""Rules on ``spec.service``: a field that its type would ignore is an error, and so is a change no cloud follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trireme_operator.api.rule import Rule

_WHERE: Final = "spec.service"
_BALANCED: Final = "self.type == 'LoadBalancer'"
_ANNOTATION_KEY: Final = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"


def _needs_load_balancer(field: str) -> Rule:
    return Rule(
        where=_WHERE,
        rule=f"!has(self.{field}) || {_BALANCED}",
        message=f"{field} needs type LoadBalancer: set it, or remove {field}",
        field=f".{field}",
    )


def _fixed(field: str) -> Rule:
    """Kubernetes refuses another class on a Service that stays a load balancer; clouds don't convert what they made.

    Sources: k8s.io/kubernetes v1.36.3, pkg/apis/core/validation/validation.go (validateLoadBalancerClassField), and the
    notes on aws-load-balancer-type in the annotations of the AWS Load Balancer Controller.
    """
    value = f"has({{0}}.{field}) ? {{0}}.{field} : ''"
    return Rule(
        where=_WHERE,
        rule=(
            f"!(oldSelf.type == 'LoadBalancer' && {_BALANCED}) ||"
            f" ({value.format('self')}) == ({value.format('oldSelf')})"
        ),
        message=(
            f"{field} is fixed while type is LoadBalancer: set type to ClusterIP first, which takes the load balancer"
            f" away, then LoadBalancer with the new {field}"
        ),
        field=f".{field}",
    )


def _rules() -> Iterator[Rule]:
    yield Rule(
        where=f"{_WHERE}.annotations[].name",
        rule=f"self.matches('{_ANNOTATION_KEY}') && !self.startsWith('trireme.dev/')",
        message="must be an annotation's key, [PREFIX/]NAME, and not one of trireme.dev",
    )
    yield _needs_load_balancer("profile")
    yield _needs_load_balancer("loadBalancerClass")
    yield Rule(
        where=_WHERE,
        rule=(f"!has(self.loadBalancerSourceRanges) || self.loadBalancerSourceRanges.size() == 0 || {_BALANCED}"),
        message="loadBalancerSourceRanges needs type LoadBalancer: set it, or remove loadBalancerSourceRanges",
        field=".loadBalancerSourceRanges",
    )
    yield Rule(
        where=_WHERE,
        rule="!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'",
        message="externalTrafficPolicy needs type NodePort or LoadBalancer: set one, or remove externalTrafficPolicy",
        field=".externalTrafficPolicy",
    )
    yield Rule(
        where=_WHERE,
        rule="!has(self.sessionAffinitySeconds) || has(self.sessionAffinity) && self.sessionAffinity == 'ClientIP'",
        message="sessionAffinitySeconds needs sessionAffinity ClientIP: set it, or remove sessionAffinitySeconds",
        field=".sessionAffinitySeconds",
    )
    yield _fixed("profile")
    yield _fixed("loadBalancerClass")


RULES: Final = tuple(_rules())
