"""The health of a group as Prometheus text: its members, the stages of the pod, stalls and the canary."""

from __future__ import annotations

from trireme_runtime.membership import State
from trireme_runtime.metrics import head, labels
from trireme_runtime.status import Status

_AGE = "trireme_launcher_member_heartbeat_age_seconds"
_STATE = "trireme_launcher_member_state"
_SECONDS = "trireme_launcher_stage_seconds"


def lines(status: Status) -> list[str]:
    """What is not known is left out: a member that was never heard has no age."""
    found = head(_SECONDS, "Seconds spent in each stage so far.")
    seconds: dict[str, float] = {}
    for entry in status.stages:
        seconds[entry.stage.value] = seconds.get(entry.stage.value, 0.0) + entry.seconds
    found += [f"{_SECONDS}{labels({'stage': name})} {value:.1f}" for name, value in seconds.items()]
    if status.members:
        found += head(_STATE, "1 for the state that the launcher sees this pod of its group in, else 0.")
        for member in status.members:
            for state in State:
                key = labels({"member": str(member["index"]), "state": state.value})
                found.append(f"{_STATE}{key} {int(member['state'] == state.value)}")
        ages = [(member["index"], member["heartbeatAge"]) for member in status.members]
        found += head(_AGE, "Seconds since the last answer of this pod of the group.")
        found += [f"{_AGE}{labels({'member': str(index)})} {age}" for index, age in ages if age is not None]
    if status.environment.serves:
        found += head("trireme_launcher_stalled", "1 while requests run and the engine ends no step, else 0.")
        found.append(f"trireme_launcher_stalled {int(status.stalled is not None)}")
    if status.canary is not None:
        found += head("trireme_launcher_canary_passed", "1 when the canary completion has passed, else 0.")
        found.append(f"trireme_launcher_canary_passed {int(status.canary.passed)}")
        found += head("trireme_launcher_canary_seconds", "How long the last canary completion took.")
        found.append(f"trireme_launcher_canary_seconds {status.canary.seconds:.3f}")
    return found
