"""The key set: keys that belong together."""

from typing import ClassVar

from schema.base import Entity, EntitySpec, Unique
from schema.types import Name


class KeySet(Entity):
    """A named set of keys."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="key_sets",
        singular="key-set",
        path="key-sets",
        natural_key="name",
        unique=(Unique(("name",)),),
        filters=("name",),
        gateways=False,
        example={"name": "signing"},
    )

    name: Name | None = None
    """Unique name, usable instead of the id."""
