"""request-transformer: rewrites headers, query string, body, method and path before the request goes upstream.

Items read `name:value`, split at the first colon; further colons belong to the value. Values are sealed at rest,
for injecting a shared secret is what most people use the plugin for. Templates for query strings and bodies have to
compile; those for headers and the path may be broken, which fails the requests that use them: so it is in Kong.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from schema.base import PluginConfig, PluginSpec, Record
from schema.templates import template_fault
from schema.types import HttpMethod, Rule, Sealed, Text, has_control_characters, is_header_name, items


def _header_fault(name: str) -> str | None:
    return None if is_header_name(name) else f"'{name}' is not a valid header"


def _check_header_name(item: str) -> str | None:
    return _header_fault(item.partition(":")[0])


def _check_header_value(item: str) -> str | None:
    name, colon, value = item.partition(":")
    if not colon:
        return f"invalid value: {name}"
    if has_control_characters(value):
        return f"the value of header '{name}' must not contain control characters"
    return _header_fault(name)


def _missing_value(name: str, value: str) -> str | None:
    return None if value else f"key '{name}' has no value"


def _check_value(item: str) -> str | None:
    name, _, value = item.partition(":")
    if (missing := _missing_value(name, value)) is not None:
        return missing
    if not name:
        return "key '' is empty"
    wrong = template_fault(value)
    return None if wrong is None else f"value '{value}' is not in supported format, error:{wrong}"


def _check_header_rename(item: str) -> str | None:
    name, _, value = item.partition(":")
    return _missing_value(name, value) or _header_fault(name) or _header_fault(value)


_Names = Annotated[list[Text], items()]
_HeaderNames = Annotated[list[Annotated[Text, Rule(_check_header_name)]], items()]
_Renames = Annotated[list[Annotated[Text, Rule(_check_value)]], items()]
_HeaderRenames = Annotated[list[Annotated[Text, Rule(_check_header_rename)]], items()]
_Values = Annotated[list[Annotated[Text, Rule(_check_value), Sealed()]], items()]
_HeaderValues = Annotated[list[Annotated[Text, Rule(_check_header_value), Sealed()]], items()]


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
        allowed_protocols=("grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp", "ws", "wss"),
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
