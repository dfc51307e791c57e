"""The consumer: someone or something that calls through the gateway."""

from typing import ClassVar

from schema.base import Entity, EntitySpec, Unique
from schema.checks import AtLeastOneOf
from schema.types import ShortText


class Consumer(Entity):
    """A known caller, found by its credentials."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="consumers",
        singular="consumer",
        natural_key="username",
        unique=(Unique(("username",)), Unique(("custom_id",))),
        filters=("username", "custom_id"),
        filter_aliases=(("name", "username"),),
        queries=("custom_id",),
        checks=(AtLeastOneOf(("custom_id", "username")),),
        example={"username": "ada", "custom_id": "crm-4711"},
    )

    username: ShortText | None = None
    """Unique name, usable instead of the id."""
    custom_id: ShortText | None = None
    """Unique id of the same caller in another system."""
