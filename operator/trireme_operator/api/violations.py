"""How a resource that can't be served is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One broken rule: where in the resource, and what is wrong with it and what to write instead."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidResource(ValueError):  # noqa: N818  (it names the resource's state, as Kubernetes' own "Invalid" does)
    """The resource breaks at least one rule; ``violations`` names them all."""

    def __init__(self, *violations: Violation) -> None:
        self.violations = violations
        super().__init__("; ".join(str(violation) for violation in violations))
