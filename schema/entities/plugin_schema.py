"""The schema of a custom plugin whose code lies on its owner's nodes (api/routes/plugin_schemas.py)."""

from typing import Annotated, ClassVar

from schema.base import Catalog, Document, Entity, EntitySpec, Unique
from schema.errors import Violation
from schema.lua_schemas import plugin_name
from schema.types import Name, Rule, Text


def _check_schema(text: str) -> str | None:
    return None if plugin_name(text) is not None else "the schema does not say the plugin's name"


class PluginSchema(Entity):
    """What a custom plugin's configuration looks like."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="plugin_schemas",
        singular="plugin-schema",
        natural_key="name",
        unique=(Unique(("name",)),),
        mounted=False,
        gateways=False,
        tagged=False,
        example={"lua_schema": 'return { name = "greeting", fields = {} }'},
    )

    name: Name | None = None
    """Name of the plugin, as the schema says it."""
    lua_schema: Annotated[Text, Rule(_check_schema)]
    """The schema, as Lua text."""

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        del catalog
        text = document.get("lua_schema")
        return {**document, "name": plugin_name(text) if isinstance(text, str) else None}, []
