"""cors: tells browsers which pages may call (the Fetch standard)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema.base import NO_CONSUMER, PluginConfig, PluginSpec
from schema.marks import GatewayRule
from schema.patterns import regex_fault
from schema.plugin_types import Texts
from schema.types import Number, Text, items


def _origin_fault(origin: str) -> str | None:
    return f"'{origin}' is not a valid regex" if origin != "*" and regex_fault(origin) is not None else None


class Cors(PluginConfig):
    """Answers preflights and marks responses. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(name="cors", priority=2000, scopes=NO_CONSUMER)

    origins: Annotated[list[Annotated[Text, GatewayRule(_origin_fault)]], items()] | None = None
    """Origins that may call: `*`, as they are, or regexes; unset: all."""
    headers: Texts | None = None
    """Headers that calls may have; unset: those that the preflight asks for."""
    exposed_headers: Texts | None = None
    """Response headers that pages may read."""
    methods: Annotated[
        list[Literal["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"]], items()
    ] = Field(default=["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
    """Methods that calls may have."""
    max_age: Number | None = None
    """Seconds for which a browser may remember a preflight's answer."""
    credentials: bool = False
    """Whether calls may carry credentials."""
    private_network: bool = False
    """Whether pages of public networks may call into a private one."""
    preflight_continue: bool = False
    """Whether the upstream answers preflights."""
    allow_origin_absent: bool = True
    """Whether responses to requests without an origin are marked, too."""
