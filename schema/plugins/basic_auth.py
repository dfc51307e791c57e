"""basic-auth: callers present a user name and a password (RFC 7617)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema.authentication import Anonymous, Principals, Realm
from schema.base import PluginConfig, PluginSpec, Record
from schema.redis import Redis
from schema.types import Rule


def _off(strategy: str) -> str | None:
    return None if strategy == "off" else f"strategy '{strategy}' is not available on this gateway: use 'off'"


class BruteForceProtection(Record):
    """Slowing down who guesses passwords."""

    strategy: Annotated[Literal["cluster", "memory", "off", "redis"], Rule(_off)] = "off"
    """Where failures are counted."""
    redis: Redis = Field(default_factory=Redis)
    """Server for the strategy `redis`."""


class BasicAuth(PluginConfig):
    """Lets requests with a right password pass. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="basic-auth",
        priority=1100,
        since="0.1.0",
        protocols=("grpc", "grpcs", "http", "https", "ws", "wss"),
        allowed_protocols=("grpc", "grpcs", "http", "https", "ws", "wss"),
        scopes=frozenset({"service", "route"}),
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
