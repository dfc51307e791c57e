"""Fields that authentication plugins have in common."""

from typing import Annotated

from schema.base import Record
from schema.marks import GatewayRule
from schema.types import MAX_KEY_LENGTH, Rule, Text, has_control_characters, length

Anonymous = Annotated[str, length(0, MAX_KEY_LENGTH)]
"""Id or user name of the consumer that callers without a valid credential count as; empty: there is none."""

Realm = Annotated[
    Text,
    length(1, MAX_KEY_LENGTH),
    Rule(lambda value: "must not contain control characters" if has_control_characters(value) else None),
]


def _not_available(enabled: bool) -> str | None:
    return "principals are not available on this gateway" if enabled else None


class Principals(Record):
    """Identities outside of the control plane."""

    enabled: Annotated[bool, GatewayRule(_not_available)] = False
    """Whether they are asked; this product's own gateways know consumers only."""
    directory: Text = "default"
    """Where principals are looked up."""
    error_on_miss: bool = True
    """Whether an unknown principal is an error."""
