"""What every model of the resource has in common."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A part of the resource: camelCase outside, immutable inside, unknown fields refused.

    The text below an attribute becomes the field's description in the CustomResourceDefinition.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        cache_strings="keys",  # else names of resources that are long gone keep memory around them
    )


ShortText = Annotated[str, Field(max_length=253)]
LongText = Annotated[str, Field(max_length=1024)]

# A label's value, which is what a zone's name is (k8s.io/apimachinery/pkg/util/validation, IsValidLabelValue).
LABEL_VALUE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
DNS_LABEL_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
DNS_SUBDOMAIN_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"

ANY_FIELDS: Final[dict[str, JsonValue]] = {"x-kubernetes-preserve-unknown-fields": True}
ATOMIC: Final[dict[str, JsonValue]] = {"x-kubernetes-list-type": "atomic"}


# A default that the API server does not write into stored resources. Whatever it writes, an operator of an earlier
# release meets in every resource as a field that it does not know, and refuses: so each field that came after 0.1.0
# in an object that is always there keeps its default to itself.
UNSTORED_DEFAULT: Final[dict[str, JsonValue]] = {"x-trireme-unstored-default": True}


def map_by(*keys: str) -> dict[str, JsonValue]:
    """What makes a list one whose items are told apart, and merged, by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
