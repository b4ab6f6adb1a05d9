"""How the double is told to misbehave: ``DOUBLE_*`` at its start, ``POST /double/...`` while it runs.

=====================================  ============================================================================
``DOUBLE_LOAD_SECONDS``                loading takes this long (0.2)
``DOUBLE_STEP_SECONDS``                one token of every running request each (0.02)
``DOUBLE_PREFILL_SECONDS``             from admission to the first token (0.02)
``DOUBLE_ANSWER_TOKENS``               length of an answer that its request does not limit (64)
``DOUBLE_PEER_DEATH``                  ``fail``: a step with a dead worker fails at once (gloo); ``hang``: after
                                       ``VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS`` (NCCL)
``DOUBLE_WORKER_STOP_SECONDS``         a headless worker ends so long after SIGTERM (10.8, as measured)
``DOUBLE_EXIT_AFTER_SECONDS``          the process ends so long after its start, with ``DOUBLE_EXIT_CODE`` (0)
``DOUBLE_IGNORE_SIGTERM``              ``1``: SIGTERM does nothing
``DOUBLE_NEVER_READY``                 ``1``: loading never ends
=====================================  ============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass
class Controls:
    """Times in seconds; the last five change while the double runs."""

    load: float
    prefill: float
    answer_tokens: int
    peer_death_hangs: bool
    step_timeout: float
    worker_stop: float
    exit_after: float | None
    exit_code: int
    ignore_sigterm: bool
    never_ready: bool
    step: float
    hang: bool = False
    refuse: bool = False
    unhealthy: bool = False
    no_metrics: bool = False


def from_environment(variables: Mapping[str, str]) -> Controls:
    """Raises ValueError, naming the variable, for a value that is no number or no known word."""
    peer_death = variables.get("DOUBLE_PEER_DEATH", "fail")
    if peer_death not in {"fail", "hang"}:
        raise ValueError(f"DOUBLE_PEER_DEATH is {peer_death!r}; expected fail or hang")
    return Controls(
        load=_number(variables, "DOUBLE_LOAD_SECONDS", 0.2),
        prefill=_number(variables, "DOUBLE_PREFILL_SECONDS", 0.02),
        answer_tokens=int(_number(variables, "DOUBLE_ANSWER_TOKENS", 64)),
        peer_death_hangs=peer_death == "hang",
        step_timeout=_number(variables, "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", 300),
        worker_stop=_number(variables, "DOUBLE_WORKER_STOP_SECONDS", 10.8),
        exit_after=_number(variables, "DOUBLE_EXIT_AFTER_SECONDS", 0)
        if "DOUBLE_EXIT_AFTER_SECONDS" in variables
        else None,
        exit_code=int(_number(variables, "DOUBLE_EXIT_CODE", 0)),
        ignore_sigterm=variables.get("DOUBLE_IGNORE_SIGTERM") == "1",
        never_ready=variables.get("DOUBLE_NEVER_READY") == "1",
        step=_number(variables, "DOUBLE_STEP_SECONDS", 0.02),
    )


def _number(variables: Mapping[str, str], name: str, default: float) -> float:
    text = variables.get(name, "")
    if not text:
        return default
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; expected a number") from None
