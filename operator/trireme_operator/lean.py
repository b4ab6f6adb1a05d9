"""Imports of the operator's process without what it never uses; to be imported before kopf and structlog are.

kopf looks whether the synchronous Kubernetes client is installed, and the package of the asynchronous one imports the
synchronous half, dynamic client and all; structlog looks for rich, which only colours tracebacks. Together these are
half of the time to start and a sixth of the memory of an idle operator.
"""

import importlib.util
import sys
from types import ModuleType

_NOT_NEEDED = ("kubernetes.client", "rich")


def _bare(name: str) -> None:
    """The package as a place where modules are found; its own `__init__` does not run."""
    found = importlib.util.find_spec(name)
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    package = ModuleType(name)
    package.__path__ = list(found.submodule_search_locations)
    package.__spec__ = found
    sys.modules[name] = package


if "kubernetes" not in sys.modules:  # else somebody has paid for it already
    _bare("kubernetes")
    _bare("kubernetes.aio")
    hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is documented: such an import fails
    try:
        import kopf  # noqa: F401
        import structlog  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
