"""Imports of the operator's process without what it never uses; to be imported before kopf and structlog are.

kopf looks whether the synchronous Kubernetes client is installed, and the package of the asynchronous one imports the
synchronous half, dynamic client and all; structlog looks for rich, which only colours tracebacks. Together these are
half of the time to start and a sixth of the memory of an idle operator.
"""

import sys

from trireme_operator.bare import IS_BARE

_NOT_NEEDED = ("kubernetes.client", "rich")

if IS_BARE:
    hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is documented: such an import fails
    try:
        import kopf  # noqa: F401
        import structlog  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
