"""request-transformer-advanced: request-transformer with typed JSON values, nested names and an allow list.

With `dots_in_keys` off, names lead into JSON bodies: `customers[*].info.phones[1]`. Templates have to compile on our own gateways.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema import transforms
from schema.base import PluginConfig, PluginSpec, Record
from schema.marks import GatewayRule, Referenceable, Sealed
from schema.plugin_types import Texts
from schema.types import HttpMethod, Rule, Text, items

_HeaderNames = Annotated[list[Annotated[Text, Rule(transforms.header_name_fault)]], items()]
_Renames = Annotated[
    list[Annotated[Text, Rule(transforms.value_fault), GatewayRule(transforms.template_value_fault), Referenceable()]],
    items(),
]
_HeaderRenames = Annotated[list[Annotated[Text, Rule(transforms.header_rename_fault), Referenceable()]], items()]
_Values = Annotated[
    list[
        Annotated[
            Text,
            Rule(transforms.value_fault),
            GatewayRule(transforms.template_value_fault),
            Referenceable(),
            Sealed(),
        ]
    ],
    items(),
]
_HeaderValues = Annotated[
    list[
        Annotated[
            Text,
            Rule(transforms.header_value_fault),
            GatewayRule(transforms.header_template_fault),
            Referenceable(),
            Sealed(),
        ]
    ],
    items(),
]
_JsonTypes = Annotated[list[Literal["boolean", "number", "string"]], items()]


class Removals(Record):
    """Names to remove."""

    headers: _HeaderNames = Field(default=[])
    """Header names."""
    querystring: Texts = Field(default=[])
    """Query parameter names."""
    body: Texts = Field(default=[])
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
    json_types: _JsonTypes = Field(default=[])
    """What the values of `body` become in JSON, item by item; text unless given."""


class Replacements(Values):
    """`name:value` pairs for what is already there, and the whole path."""

    uri: Annotated[Text, GatewayRule(transforms.uri_template_fault)] | None = None
    """Path sent upstream instead of the computed one; may hold `$(…)` templates."""


class Allowed(Record):
    """What alone may stay."""

    body: Texts | None = None
    """Names of body parameters; unset: all."""


class RequestTransformerAdvanced(PluginConfig):
    """Changes requests on their way upstream. Each section is worked in the order remove, rename, replace, add, append.

    Source: the behaviour of Kong Gateway's plugin of the same name.
    """

    spec: ClassVar[PluginSpec] = PluginSpec(name="request-transformer-advanced", priority=802, since="0.1.0")

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
    allow: Allowed = Field(default_factory=Allowed)
    """What alone may stay of a body."""
    dots_in_keys: bool = True
    """Whether a dot is a part of a name; otherwise it leads into an object."""
