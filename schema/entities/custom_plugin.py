"""The custom plugin: a plugin of one's own with its schema and its code."""

import warnings
from typing import ClassVar

from schema.base import Entity, EntitySpec, Unique
from schema.types import Name, Text

with warnings.catch_warnings():
    # A method of that name is deprecated; what the field is called was decided elsewhere.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class CustomPlugin(Entity):
        """A plugin in Lua, for nodes that their owner runs: this product's own gateways do not run it."""

        spec: ClassVar[EntitySpec] = EntitySpec(
            plural="custom_plugins",
            singular="custom-plugin",
            path="custom-plugins",
            natural_key="name",
            unique=(Unique(("name",)),),
            filters=("name",),
            gateways=False,
            example={
                "name": "greeting",
                "schema": 'return { name = "greeting", fields = {} }',
                "handler": 'return { PRIORITY = 1, VERSION = "1.0" }',
            },
        )

        name: Name
        """Unique name of the plugin, usable instead of the id."""
        schema: Text  # pyright: ignore[reportIncompatibleMethodOverride]  # see above
        """Its schema, as Lua text."""
        handler: Text
        """Its code, as Lua text."""
