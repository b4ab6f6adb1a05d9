"""The rules that the API server checks, as data: where, what (in CEL), and what to say when it is broken.

They are written here and in the modules ``rules_*``. Types, bounds and patterns of single fields stand in the models;
what can be seen only inside ``podTemplate`` stands in ``pod_overlay``. ``trireme validate`` evaluates these same texts.
"""

from __future__ import annotations

from typing import Final

from trireme_operator.api import (
    rules_endpoint_picker,
    rules_failover,
    rules_gateway,
    rules_health,
    rules_monitoring,
    rules_network,
    rules_network_policy,
    rules_preflight,
    rules_restarts,
    rules_rollout,
    rules_service,
)
from trireme_operator.api.rule import Rule
from trireme_operator.api.rules_autoscaling import RULES as AUTOSCALING_RULES
from trireme_operator.api.rules_model import RULES as MODEL_RULES
from trireme_operator.api.rules_parallelism import RULES as PARALLELISM_RULES

_RESOURCE_NAME = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"


def _limit_rule(name: str) -> Rule:
    request, limit = f"self.requests.{name}", f"self.limits.{name}"
    # The server judges the default {} of spec.resources before it fills in the fields below it.
    both = f"has(self.requests) && has(self.limits) && has({request}) && has({limit})"
    return Rule(
        where="spec.resources",
        rule=f"!({both}) || !quantity(string({request})).isGreaterThan(quantity(string({limit})))",
        message=f"requests.{name} must not be greater than limits.{name}: raise the limit or lower the request",
        message_expression=(
            f"'requests.{name} ' + string({request}) + ' is greater than limits.{name} ' + string({limit})"
            " + ': raise the limit or lower the request'"
        ),
        field=f".requests.{name}",
    )


RULES: Final[tuple[Rule, ...]] = (
    *rules_endpoint_picker.RULES,
    *rules_failover.RULES,
    *rules_gateway.RULES,
    *rules_health.RULES,
    *rules_monitoring.RULES,
    *rules_network.RULES,
    *rules_network_policy.RULES,
    *rules_restarts.RULES,
    *rules_rollout.RULES,
    *rules_service.RULES,
    Rule(
        where="",
        rule="self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message=(
            "metadata.name must be at most 40 lower case letters, digits and '-', begin with a letter and end with a"
            " letter or digit: names of Services and pods are made from it"
        ),
    ),
    Rule(
        where="",
        rule="!self.metadata.name.endsWith('-http')",
        message=(
            "metadata.name must not end in -http: that is how the Service of another resource may be called; choose"
            " another name"
        ),
    ),
    Rule(
        where="spec",
        rule="!(has(self.zones) && has(self.replicas))",
        message="replicas is for a resource without zones: give each zone its own zones[].replicas and remove replicas",
        field=".replicas",
    ),
    *PARALLELISM_RULES,
    *MODEL_RULES,
    *rules_preflight.RULES,
    Rule(
        where="spec.accelerator.resource",
        rule=f"self == 'cpu' || self.matches('{_RESOURCE_NAME}')",
        message="must be the name of an extended resource such as nvidia.com/gpu, or cpu for ranks without a device",
    ),
    Rule(
        where="spec.accelerator",
        rule="!has(self.memory) || self.resource != 'cpu'",
        message="memory is the memory of a device, and ranks on the processor have none: remove it",
        field=".memory",
    ),
    _limit_rule("cpu"),
    _limit_rule("memory"),
    Rule(
        where="spec.zones",
        rule="self.exists(z, z.weight > 0)",
        message="every zone has weight 0, so no request would be served: give at least one zone a weight of 1 or more",
    ),
    *AUTOSCALING_RULES,
)
