"""The engine's command line and environment in this pod: the user's, plus what depends on the pod's index.

Sources: vllm/config/parallel.py and vllm/engine/arg_utils.py of 0.24 to 0.33. The last of two equal flags
wins in vLLM's parser, so what is appended here holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trireme_runtime import network, wiring
from trireme_runtime.environment import ContractError, Environment
from trireme_runtime.limits import Limits

_ENVIRONMENT_DEFAULTS = {
    # A step that never answers (network cut, hung NCCL) fails the engine after this time instead of after 300 s.
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "120",
    # Whoever closes an idle connection first loses nothing; a gateway that sends a request into one that the engine
    # closes, by itself after 5 s, answers 503. Envoy closes after an hour, load balancers of clouds much earlier.
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "3700",
}
# The launcher asks every second: in the access log that would bury the users' requests.
_QUIET_FLAG = "--disable-access-log-for-endpoints"
_QUIET_PATHS = "/health,/metrics"
_SECRET_FLAGS = ("--api-key", "--hf-token")


def engine_command(base: Sequence[str], environment: Environment, limits: Limits) -> list[str]:
    """``base`` (the launcher's own arguments) with the parallel flags of this pod appended.

    Raises ContractError when ``base`` is empty.
    """
    if not base:
        raise ContractError(
            "the engine's command is missing; expected it as the launcher's arguments, "
            "for example: python3 /trireme/runtime.pyz vllm serve MODEL"
        )
    command = [*base, *wiring.flags(environment)]
    if environment.serves and not _has_flag(base, _QUIET_FLAG):
        command += [_QUIET_FLAG, _QUIET_PATHS]
    return [*command, "--shutdown-timeout", str(limits.engine_shutdown)]


def _has_flag(words: Sequence[str], flag: str) -> bool:
    return any(word.partition("=")[0].replace("_", "-") == flag for word in words)


def engine_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The pod's environment, with the engine's time limits and the network's interface where the user set none."""
    return {**_ENVIRONMENT_DEFAULTS, **variables, **network.choose(variables).variables()}


def without_secrets(command: Sequence[str]) -> list[str]:
    """``command`` as it may be logged and shown: values of secret flags are replaced.

    vLLM takes ``_`` for ``-``, any prefix of a flag that no other begins with, and a key behind the name and a ``.``.
    Prefixes that it refuses count as well (they are logged before it does), and longer names, which it may have later.
    """
    shown: list[str] = []
    value_next = hiding = False
    for word in command:
        # The word behind a secret flag is its value, also with a dash in front: tokens may begin with one.
        if word.startswith("--") or (word.startswith("-") and not value_next):
            flag, equals, _ = word.partition("=")
            secret = _is_secret(flag)
            value_next = hiding = secret and not equals
            shown.append(f"{flag}=***" if secret and equals else word)
        else:
            shown.append("***" if hiding else word)
            value_next = False
    return shown


def _is_secret(flag: str) -> bool:
    name = flag.partition(".")[0].replace("_", "-")
    return len(name) > len("--") and any(name.startswith(each) or each.startswith(name) for each in _SECRET_FLAGS)
