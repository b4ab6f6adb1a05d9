"""The API server's verdict on a resource, without an API server: the same schema and the same CEL texts."""

from __future__ import annotations

from trireme_operator.offline.finding import Finding, Rule
from trireme_operator.offline.verdict import Verdict, judge

__all__ = ["Finding", "Rule", "Verdict", "judge"]
