"""cors: tells browsers which pages may call (the Fetch standard)."""

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from schema.base import NO_CONSUMER, PluginConfig, PluginSpec
from schema.marks import GatewayRule
from schema.patterns import regex_fault
from schema.types import Number, Text, has_control_characters, items

_PLAIN: Final = re.compile(r"[A-Za-z0-9.:/-]+", re.ASCII)


def _origin_fault(origin: str) -> str | None:
    return f"'{origin}' is not a valid regex" if origin != "*" and regex_fault(origin) is not None else None


def _together_fault(origins: list[str]) -> str | None:
    """Gateways make one regex of all for whole origins, and one of all for hosts."""
    regexes = [origin for origin in origins if origin != "*" and not _PLAIN.fullmatch(origin)]
    for whole in (True, False):
        branches = "|".join(f"(?:{regex})" for regex in regexes if (":" in regex) is whole)
        if regex_fault(rf"\A(?:{branches})\z") is not None:
            return "all regexes together are too large, or have groups of the same name"
    return None


_Sendable: Final = GatewayRule(
    lambda value: "must not contain control characters" if has_control_characters(value) else None
)


class Cors(PluginConfig):
    """Answers preflights and marks responses. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(name="cors", priority=2000, since="0.1.0", scopes=NO_CONSUMER)

    origins: (
        Annotated[list[Annotated[Text, GatewayRule(_origin_fault)]], items(), GatewayRule(_together_fault)] | None
    ) = None
    """Origins that may call: `*`, as they are, or regexes; unset: all."""
    headers: Annotated[list[Annotated[Text, _Sendable]], items()] | None = None
    """Headers that calls may have; unset: those that the preflight asks for."""
    exposed_headers: Annotated[list[Annotated[Text, _Sendable]], items()] | None = None
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
