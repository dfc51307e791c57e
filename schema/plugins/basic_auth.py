"""basic-auth: callers present a user name and a password (RFC 7617)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema.authentication import Anonymous, Principals, Realm
from schema.base import NO_CONSUMER, WEB_AND_WEBSOCKET, PluginConfig, PluginSpec, Record
from schema.checks import RequiredWhen
from schema.marks import GatewayRule
from schema.redis import Redis


def _off(strategy: str) -> str | None:
    return None if strategy == "off" else f"strategy '{strategy}' is not available on this gateway: use 'off'"


class BruteForceProtection(Record):
    """Slowing down who guesses passwords."""

    strategy: Annotated[Literal["cluster", "memory", "off", "redis"], GatewayRule(_off)] = "off"
    """Where failures are counted."""
    redis: Redis | None = None
    """Server for the strategy `redis`."""


class BasicAuth(PluginConfig):
    """Lets requests with a right password pass. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="basic-auth",
        priority=1100,
        since="0.1.0",
        protocols=WEB_AND_WEBSOCKET,
        allowed_protocols=WEB_AND_WEBSOCKET,
        scopes=NO_CONSUMER,
        checks=(RequiredWhen(("brute_force_protection.redis.host",), "brute_force_protection.strategy", ("redis",)),),
        partials=(("redis-ce", "config.brute_force_protection.redis"),),
    )

    anonymous: Anonymous | None = None
    """Consumer that callers without a right password count as."""
    hide_credentials: bool = True
    """Whether the header with the password is taken out before the request goes upstream."""
    realm: Realm = "service"
    """Realm in the challenge."""
    brute_force_protection: BruteForceProtection = Field(default_factory=BruteForceProtection)
    """Slowing down who guesses passwords."""
    principals: Principals = Field(default_factory=Principals)
    """Identities outside of the control plane."""
