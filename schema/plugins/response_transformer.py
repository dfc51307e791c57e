"""response-transformer: edits headers and JSON bodies of responses.

Items read `name:value`, split at the first colon; further colons belong to the value. JSON items name members of a
top-level object; their values are text unless `json_types` says otherwise, item by item.
"""

import warnings
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema import transforms
from schema.base import PluginConfig, PluginSpec, Record
from schema.marks import Sealed
from schema.types import Rule, Text, items

_HeaderNames = Annotated[list[Annotated[Text, Rule(transforms.header_name_fault)]], items()]
_HeaderRenames = Annotated[list[Annotated[Text, Rule(transforms.header_rename_fault)]], items()]
_Headers = Annotated[list[Annotated[Text, Rule(transforms.filled_header_fault), Sealed()]], items()]
_JsonNames = Annotated[list[Text], items()]
_Json = Annotated[list[Annotated[Text, Rule(transforms.value_fault)]], items()]
_JsonTypes = Annotated[list[Literal["boolean", "number", "string"]], items()]


# Users know the field as `json`; pydantic warns because a deprecated method of its own has that name.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)

    class Removals(Record):
        """Names to remove."""

        headers: _HeaderNames = Field(default=[])
        """Header names."""
        json: _JsonNames = Field(default=[])  # pyright: ignore[reportIncompatibleMethodOverride]
        """Names of JSON members."""

    class Renames(Record):
        """`old:new` pairs."""

        headers: _HeaderRenames = Field(default=[])
        """Headers to rename."""
        json: _Json = Field(default=[])  # pyright: ignore[reportIncompatibleMethodOverride]
        """JSON members to rename."""

    class Values(Record):
        """`name:value` pairs."""

        headers: _Headers = Field(default=[])
        """Header values."""
        json: _Json = Field(default=[])  # pyright: ignore[reportIncompatibleMethodOverride]
        """Values of JSON members."""
        json_types: _JsonTypes = Field(default=[])
        """What the values of `json` become, item by item; text unless given."""


class ResponseTransformer(PluginConfig):
    """Changes responses. Each section is worked in the order remove, rename, replace, add, append.

    Source: the behaviour of Kong Gateway's plugin of the same name.
    """

    spec: ClassVar[PluginSpec] = PluginSpec(name="response-transformer", priority=800, since="0.1.0")

    remove: Removals = Field(default_factory=Removals)
    """Taken out when present."""
    rename: Renames = Field(default_factory=Renames)
    """Moved to another name when present."""
    replace: Values = Field(default_factory=Values)
    """Set when already present."""
    add: Values = Field(default_factory=Values)
    """Set when not yet present."""
    append: Values = Field(default_factory=Values)
    """Added beside what is there."""
