"""Types that configurations of plugins have in common."""

from typing import Annotated, Literal

from schema.addresses import called_url_fault
from schema.marks import GatewayRule, Referenceable, Sealed
from schema.types import (
    MAX_TEXT_LENGTH,
    Distinct,
    HeaderName,
    Host,
    Integer,
    Port,
    Rule,
    Text,
    Url,
    between,
    has_control_characters,
    items,
    length,
)

SecretText = Annotated[Text, Referenceable(), Sealed()]
ReferableText = Annotated[Text, Referenceable()]
ReferableUrl = Annotated[Url, Referenceable()]
ReferableHost = Annotated[Host, Referenceable()]
ReferablePort = Annotated[Port, Referenceable()]
AnyText = Annotated[str, length(0, MAX_TEXT_LENGTH)]
"""Text that may be empty."""


def header_value_fault(value: str) -> str | None:
    """Why a gateway cannot send a text as a header's value."""
    return "must not contain control characters" if has_control_characters(value) else None


SecretHeader = Annotated[SecretText, GatewayRule(header_value_fault)]
"""Secret that our gateways send in a header."""
HeaderText = Annotated[Text, Rule(header_value_fault)]
"""Text that becomes a part of a header's value."""

Texts = Annotated[list[Text], items()]
TextSet = Annotated[list[Text], items(), Distinct]
HeaderNames = Annotated[list[HeaderName], items(maximum=64)]

CalledPort = Annotated[Port, GatewayRule(lambda port: None if port else "value should be between 1 and 65535")]
"""Port of a server that the plugin itself connects to."""
CalledUrl = Annotated[Url, GatewayRule(called_url_fault)]
"""URL that the plugin itself asks."""

Timeout = Annotated[Integer, between(0, 2_147_483_646, unit="milliseconds")]

CustomFields = Annotated[
    dict[Text, Text],
    items(maximum=256),
    GatewayRule(lambda fields: "this gateway runs no Lua" if fields else None),
]
"""Fields of a log record by their path, with the Lua expression that gives the value."""

Severity = Literal["debug", "info", "notice", "warning", "err", "crit", "alert", "emerg"]


def above(bound: int) -> Rule:
    """A number greater than a bound."""
    return Rule(
        lambda value: None if value > bound else f"value must be greater than {bound}", {"exclusiveMinimum": bound}
    )


def status_fault(status: float) -> str | None:
    """Why a gateway cannot answer with a status. Those below 200 end no exchange (RFC 9110 section 15.2)."""
    return None if isinstance(status, int) and 200 <= status <= 599 else "value should be between 200 and 599"
