"""response-transformer-advanced: response-transformer by status, with nested names, whole bodies and Lua.

What is removed of headers may be some of their values: `name:value` or `name:/regex/`.
"""

import warnings
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema import transforms
from schema.base import PluginConfig, PluginSpec, Record
from schema.marks import GatewayRule, Sealed
from schema.plugin_types import Texts
from schema.types import Rule, Text, items

_Removed = Annotated[
    list[Annotated[Text, Rule(transforms.header_name_fault), GatewayRule(transforms.removal_fault)]],
    items(),
    GatewayRule(transforms.removals_fault),
]
_HeaderRenames = Annotated[list[Annotated[Text, Rule(transforms.header_rename_fault)]], items()]
_Headers = Annotated[list[Annotated[Text, Rule(transforms.filled_header_fault), Sealed()]], items()]
_Json = Annotated[list[Annotated[Text, Rule(transforms.value_fault)]], items()]
_JsonTypes = Annotated[list[Literal["boolean", "number", "string"]], items()]
_Statuses = Annotated[list[Annotated[Text, Rule(transforms.status_fault)]], items()]


def _no_lua(functions: list[str]) -> str | None:
    return "this gateway runs no Lua" if functions else None


class Conditional(Record):
    """Base of the sections that look at the status."""

    if_status: _Statuses = Field(default=[])
    """Statuses and ranges of them (`200-299`) that the section is for; empty: all."""


# Users know the field as `json`; pydantic warns because a deprecated method of its own has that name.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)

    class Removals(Conditional):
        """Names to remove."""

        headers: _Removed = Field(default=[])
        """Header names, with a value or a regex for values if only these go."""
        json: Texts = Field(default=[])  # pyright: ignore[reportIncompatibleMethodOverride]
        """Names of JSON members."""

    class Values(Conditional):
        """`name:value` pairs."""

        headers: _Headers = Field(default=[])
        """Header values."""
        json: _Json = Field(default=[])  # pyright: ignore[reportIncompatibleMethodOverride]
        """Values of JSON members."""
        json_types: _JsonTypes = Field(default=[])
        """What the values of `json` become, item by item; text unless given."""

    class Transforms(Conditional):
        """Lua that works on bodies."""

        functions: Annotated[Texts, GatewayRule(_no_lua)] = Field(default=[])
        """Chunks of Lua that give a function of the body."""
        json: Texts = Field(default=[])  # pyright: ignore[reportIncompatibleMethodOverride]
        """Members that the functions get; empty: the whole body."""

    class Allowed(Record):
        """What alone may stay."""

        json: Texts | None = None  # pyright: ignore[reportIncompatibleMethodOverride]
        """Names of JSON members; unset: all."""


class Renames(Conditional):
    """`old:new` pairs."""

    headers: _HeaderRenames = Field(default=[])
    """Headers to rename."""


class Replacements(Values):
    """`name:value` pairs for what is already there, and the whole body."""

    body: Text | None = None
    """Body sent to the client instead of the upstream's."""


class ResponseTransformerAdvanced(PluginConfig):
    """Changes responses. Each section is worked in the order remove, rename, replace, add, append.

    Source: the behaviour of Kong Gateway's plugin of the same name.
    """

    spec: ClassVar[PluginSpec] = PluginSpec(name="response-transformer-advanced", priority=800, since="0.1.0")

    remove: Removals = Field(default_factory=Removals)
    """Taken out when present."""
    rename: Renames = Field(default_factory=Renames)
    """Moved to another name when present."""
    replace: Replacements = Field(default_factory=Replacements)
    """Set when already present."""
    add: Values = Field(default_factory=Values)
    """Set when not yet present."""
    append: Values = Field(default_factory=Values)
    """Added beside what is there."""
    allow: Allowed = Field(default_factory=Allowed)
    """What alone may stay of a JSON body."""
    transform: Transforms = Field(default_factory=Transforms)
    """Lua that works on bodies."""
    dots_in_keys: bool = True
    """Whether a dot is a part of a name; otherwise it leads into an object."""
