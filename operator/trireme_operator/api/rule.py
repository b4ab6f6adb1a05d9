"""One rule of the resource, in the words that the API server evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """One entry of x-kubernetes-validations.

    ``where`` is the path of the schema node, ``[]`` standing for the items of a list and ``""`` for the root.
    ``message`` says the rule; ``message_expression``, CEL that yields text, says it with the values at hand. It can
    name texts of bounded length only: the server's estimate takes text made of a number, and the name of the object,
    for endless, and refuses the definition.
    ``field`` is the blamed field below ``where``, as a JSON path.
    """

    where: str
    rule: str
    message: str
    message_expression: str | None = None
    field: str | None = None

    def schema(self) -> dict[str, Any]:
        """The rule as the CustomResourceDefinition has it."""
        entry: dict[str, Any] = {"rule": self.rule, "message": self.message}
        if self.message_expression is not None:
            entry["messageExpression"] = self.message_expression
        if self.field is not None:
            entry["fieldPath"] = self.field
        return entry
