"""The Kubernetes package without what nobody here uses; to be imported before anything of it is.

The package of the asynchronous client imports the synchronous half, dynamic client and all.
"""

import importlib.util
import sys
from types import ModuleType


def _bare(name: str) -> None:
    """The package as a place where modules are found; its own `__init__` does not run."""
    found = importlib.util.find_spec(name)
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    package = ModuleType(name)
    package.__path__ = list(found.submodule_search_locations)
    package.__spec__ = found
    sys.modules[name] = package


IS_BARE = "kubernetes" not in sys.modules
"""Else somebody has paid for it already."""

if IS_BARE:
    _bare("kubernetes")
    _bare("kubernetes.aio")
