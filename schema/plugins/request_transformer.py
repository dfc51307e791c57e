"""request-transformer: rewrites headers, query string, body, method and path before the request goes upstream.

Items read `name:value`, split at the first colon; further colons belong to the value. Values are sealed at rest,
for injecting a shared secret is what most people use the plugin for. Templates for query strings and bodies have to
compile; those for headers and the path may be broken, which fails the requests that use them: so it is in Kong.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from schema import transforms
from schema.base import EVERY_PROTOCOL, PluginConfig, PluginSpec, Record
from schema.marks import Sealed
from schema.types import HttpMethod, Rule, Text, items

_Names = Annotated[list[Text], items()]
_HeaderNames = Annotated[list[Annotated[Text, Rule(transforms.header_name_fault)]], items()]
_Renames = Annotated[list[Annotated[Text, Rule(transforms.template_value_fault)]], items()]
_HeaderRenames = Annotated[list[Annotated[Text, Rule(transforms.header_rename_fault)]], items()]
_Values = Annotated[list[Annotated[Text, Rule(transforms.template_value_fault), Sealed()]], items()]
_HeaderValues = Annotated[list[Annotated[Text, Rule(transforms.header_value_fault), Sealed()]], items()]


class Removals(Record):
    """Names to remove."""

    headers: _HeaderNames = Field(default=[])
    """Header names."""
    querystring: _Names = Field(default=[])
    """Query parameter names."""
    body: _Names = Field(default=[])
    """Body parameter names."""


class Renames(Record):
    """`old:new` pairs."""

    headers: _HeaderRenames = Field(default=[])
    """Headers to rename."""
    querystring: _Renames = Field(default=[])
    """Query parameters to rename."""
    body: _Renames = Field(default=[])
    """Body parameters to rename."""


class Values(Record):
    """`name:value` pairs; a value may hold `$(…)` templates."""

    headers: _HeaderValues = Field(default=[])
    """Header values."""
    querystring: _Values = Field(default=[])
    """Query parameter values."""
    body: _Values = Field(default=[])
    """Body parameter values."""


class Replacements(Values):
    """`name:value` pairs for what is already there, and the whole path."""

    uri: Text | None = None
    """Path sent upstream instead of the computed one; may hold `$(…)` templates."""


class RequestTransformer(PluginConfig):
    """Changes requests on their way upstream. Each section is worked in the order remove, rename, replace, add, append.

    Source: the behaviour of Kong Gateway's plugin of the same name.
    """

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="request-transformer",
        priority=801,
        since="0.1.0",
        allowed_protocols=EVERY_PROTOCOL,
    )

    http_method: HttpMethod | None = None
    """Method sent upstream."""
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
