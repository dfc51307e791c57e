"""bot-detection: refuses programs by the name they give themselves."""

from typing import Annotated, ClassVar

from pydantic import Field

from schema.base import NO_CONSUMER, PluginConfig, PluginSpec
from schema.marks import GatewayRule
from schema.patterns import regex_fault, together_fault
from schema.types import Text, items


def _regex_fault(pattern: str) -> str | None:
    return f"not a valid regex: {pattern}" if regex_fault(pattern) is not None else None


# Gateways make one regex of all.
_Regexes = Annotated[list[Annotated[Text, GatewayRule(_regex_fault)]], items(maximum=1024), GatewayRule(together_fault)]


class BotDetection(PluginConfig):
    """Refuses known bots. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(name="bot-detection", priority=2500, since="0.1.0", scopes=NO_CONSUMER)

    allow: _Regexes = Field(default=[])
    """Regexes for user agents that pass, whatever else fits them."""
    deny: _Regexes = Field(default=[])
    """Regexes for user agents that do not pass, besides the usual bots."""
