"""The consumer group: callers that plugins treat alike."""

from typing import ClassVar

from schema.base import Entity, EntitySpec, Unique
from schema.types import Name


class ConsumerGroup(Entity):
    """A named set of consumers; a consumer may be in several."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="consumer_groups",
        singular="consumer_group",
        natural_key="name",
        unique=(Unique(("name",)),),
        filters=("name",),
        custom_read=True,
        example={"name": "partners", "tags": ["team-a"]},
    )

    name: Name
    """Unique name, usable instead of the id."""
