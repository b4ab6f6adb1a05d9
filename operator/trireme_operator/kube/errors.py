"""What can go wrong when the Kubernetes API is called.

    KubeError
    ├── Unreachable            no answer: refused, reset, timed out
    └── ApiError               an answer that is an error (`status`, `reason`, `message`)
        ├── Unauthorized       401
        ├── Forbidden          403
        ├── NotFound           404, the object
        ├── ApiMissing         404, the kind itself: its CRD is not installed
        ├── Conflict           409
        ├── Invalid            400, 413, 415, 422: the request will not get better by itself
        ├── TooManyRequests    429, with `retry_after` in seconds when the server gave it
        └── ServerError        everything else, failed admission webhooks included

The client maps every failure into this tree once; nobody above it looks at a status code.
"""

# ruff: noqa: N818 - the names are those of the API's own reasons

import json
from collections.abc import Mapping
from typing import Any


class KubeError(Exception):
    """The base of everything that a call to the Kubernetes API raises."""


class Unreachable(KubeError):
    """The API server gave no answer in time."""


class ApiError(KubeError):
    """The API server answered with an error."""

    def __init__(self, message: str, *, status: int, reason: str = "", what: str = "") -> None:
        super().__init__(f"{what}: {message}" if what else message)
        self.message = message
        self.status = status
        self.reason = reason


class Unauthorized(ApiError):
    """The operator's credentials were refused."""


class Forbidden(ApiError):
    """RBAC, a quota or an admission plugin said no."""


class NotFound(ApiError):
    """The object, or its namespace, does not exist."""


class ApiMissing(ApiError):
    """The kind is not served: its CRD is not installed (any more)."""


class Conflict(ApiError):
    """Another manager owns a field, or a precondition (UID) does not hold."""


class Invalid(ApiError):
    """The API server refuses the content of the request."""


class TooManyRequests(ApiError):
    """The API server asks to come back later."""

    def __init__(
        self, message: str, *, status: int, reason: str = "", what: str = "", retry_after: int | None = None
    ) -> None:
        super().__init__(message, status=status, reason=reason, what=what)
        self.retry_after = retry_after


class ServerError(ApiError):
    """The API server, or an admission webhook behind it, failed."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}


_UNDECLARED = "field not declared in schema"


def from_response(status: int, body: bytes, *, what: str, headers: Mapping[str, str], is_object: bool) -> ApiError:
    """The error for an answer with an HTTP status >= 300.

    `is_object` says that the path named an object, not a collection: only then may a 404 mean the object. The API
    server answers a path of an unserved kind with a plain text or with a Status without `details.name`; a missing
    object or namespace always comes as a Status that names it.
    """
    answer = _status_object(body)
    message = str(answer.get("message") or body[:500].decode("utf-8", "replace").strip() or f"HTTP {status}")
    reason = str(answer.get("reason") or "")
    if status == 404:  # noqa: PLR2004 - the HTTP status itself
        details = answer.get("details")
        named = isinstance(details, dict) and bool(details.get("name"))
        error = NotFound if named and (is_object or _is_namespace(details)) else ApiMissing
        return error(message, status=status, reason=reason, what=what)
    if status == 429:  # noqa: PLR2004
        return TooManyRequests(
            message, status=status, reason=reason, what=what, retry_after=_seconds(headers.get("Retry-After"))
        )
    # The API server's own fault by its status, but it means an applied field that the schema does not have (1.36).
    kind: type[ApiError] = Invalid if _UNDECLARED in message else _BY_STATUS.get(status, ServerError)
    return kind(message, status=status, reason=reason, what=what)


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _is_namespace(details: Any) -> bool:
    return isinstance(details, dict) and details.get("kind") == "namespaces"


def _seconds(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
