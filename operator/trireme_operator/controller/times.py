"""Times as Kubernetes writes them, and as numbers."""

from datetime import UTC, datetime


def seconds(text: object) -> int | None:
    """Seconds since the epoch of an RFC 3339 time; None for anything else."""
    try:
        return int(datetime.fromisoformat(str(text)).timestamp())
    except ValueError:
        return None


def timestamp(moment: int) -> str:
    """The other way, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
