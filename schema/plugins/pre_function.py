"""pre-function: runs Lua before all other plugins."""

from typing import ClassVar

from schema.base import EVERY_PROTOCOL, NO_CONSUMER, PluginSpec
from schema.checks import AtLeastOneOf
from schema.lua_phases import PHASES, LuaPhases


class PreFunction(LuaPhases):
    """Runs a user's own code. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="pre-function",
        priority=1_000_000,
        allowed_protocols=EVERY_PROTOCOL,
        scopes=NO_CONSUMER,
        checks=(AtLeastOneOf(PHASES),),
    )
