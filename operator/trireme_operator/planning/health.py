"""What of ``spec.health`` the launchers are told: the values that are not theirs anyway.

A value that is written out and is the default changes no pod, so that nothing is restarted for it.
"""

from __future__ import annotations

from typing import Any, Final

from trireme_operator.api import InferenceCluster
from trireme_operator.api.health import MEMBER_LOST_SECONDS, MEMBER_SILENT_SECONDS, CanaryMode, Health

HEALTH_DEFAULTS: Final = {
    "memberSilentSeconds": MEMBER_SILENT_SECONDS,
    "memberLostSeconds": MEMBER_LOST_SECONDS,
    "stallSeconds": 60,
    "canaryTokens": 1,
}
"""Those of the launcher (docs/contract.md), which pods of earlier releases have as well."""


def health_settings(cluster: InferenceCluster) -> dict[str, int]:
    """Seconds and tokens that differ from the defaults; ``canaryTokens`` is 0 where there is no canary."""
    wanted = _wanted(cluster.spec.health or Health())
    return {name: value for name, value in wanted.items() if value != HEALTH_DEFAULTS[name]}


def health_inputs(cluster: InferenceCluster) -> dict[str, Any]:
    """The same as a spec has it: what a stored revision keeps, so that a spec can be made from it again."""
    told: dict[str, Any] = dict(health_settings(cluster))
    tokens = told.pop("canaryTokens", None)
    if tokens is None:
        return told
    return told | {"canary": {"maxTokens": tokens} if tokens else {"mode": CanaryMode.DISABLED.value}}


def _wanted(health: Health) -> dict[str, int]:
    canary = health.canary
    disabled = canary is not None and canary.mode is CanaryMode.DISABLED
    wanted = {
        "memberSilentSeconds": health.member_silent_seconds,
        "memberLostSeconds": health.member_lost_seconds,
        "stallSeconds": health.stall_seconds,
        "canaryTokens": 0 if disabled else canary.max_tokens if canary is not None else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}
