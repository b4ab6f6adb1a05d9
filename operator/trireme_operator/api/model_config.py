"""Where the dimensions of a model can be read before it is loaded."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trireme_operator.api.base import DNS_SUBDOMAIN_PATTERN, Model, ShortText


class ModelConfigReference(Model):
    """A ConfigMap that holds the model's config.json, so that the model can be judged before it is loaded."""

    config_map: Annotated[ShortText, Field(min_length=1, pattern=DNS_SUBDOMAIN_PATTERN)]
    """The name of the ConfigMap, in the namespace of the resource. It is read when the resource is looked at and is
    not watched; no pod uses it."""

    key: Annotated[ShortText, Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")] = "config.json"
    """The key whose value is the text of config.json."""
