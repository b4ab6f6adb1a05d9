"""Settings that an installation gives through the environment, as every process of ours reads them."""

import re
from collections.abc import Mapping

from trireme_operator.logs import LogFormat


class ConfigurationError(Exception):
    """The environment is not usable; the message names the variable, its value and what is expected."""


def port(environ: Mapping[str, str], name: str, default: int) -> int:
    """A port number. Raises ConfigurationError."""
    text = environ.get(name, str(default))
    if not text.isdigit() or not 0 < int(text) < 2**16:
        raise ConfigurationError(f"{name} is {text!r}: use a port number from 1 to 65535")
    return int(text)


def log_format(environ: Mapping[str, str]) -> LogFormat:
    """How log lines look. Raises ConfigurationError."""
    text = environ.get("TRIREME_LOG_FORMAT", "json")
    if text not in ("json", "console"):
        raise ConfigurationError(f"TRIREME_LOG_FORMAT is {text!r}: use json or console")
    return "json" if text == "json" else "console"


def namespaces(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The namespaces that are served; none for all."""
    return tuple(name.strip() for name in environ.get("TRIREME_NAMESPACES", "").split(",") if name.strip())


def taints(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Keys of taints; none for an empty text. Raises ConfigurationError."""
    found = tuple(key.strip() for key in environ.get(name, "").split(",") if key.strip())
    for key in found:
        if not re.fullmatch(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", key):
            raise ConfigurationError(f"{name} is {key!r}: use keys of taints with commas between them, or none")
    return found


def namespaced_name(environ: Mapping[str, str], name: str, *, empty: str) -> tuple[str, str] | None:
    """NAMESPACE/NAME; None for an empty text, which means `empty`. Raises ConfigurationError."""
    text = environ.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9.-]+", text):
        raise ConfigurationError(f"{name} is {text!r}: use NAMESPACE/NAME, or leave it empty {empty}")
    namespace, _, found = text.partition("/")
    return namespace, found
