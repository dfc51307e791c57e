"""Where a plugin finds the Redis-compatible server that it shares state in."""

from typing import Annotated, Final, Literal

from schema.addresses import tls_host_fault, tls_name_fault
from schema.aliases import Alias
from schema.base import Record
from schema.checks import RuleWhen
from schema.marks import GatewayRule, Referenceable, Sealed
from schema.plugin_types import AnyText, CalledPort, ReferableHost, ReferableText, SecretText, Timeout
from schema.types import Integer, Sni

_SecretText = Annotated[AnyText, Referenceable(), Sealed()]


def _provider_fault(_: str) -> str:
    return "signing in with a cloud's identity is not available on this gateway"


class CloudAuthentication(Record):
    """Signing in to a cloud's Redis with an identity of that cloud."""

    auth_provider: Annotated[Literal["aws", "azure", "gcp"], Referenceable(), GatewayRule(_provider_fault)] | None = (
        None
    )
    """The cloud; it says which of the fields below count."""
    aws_access_key_id: SecretText | None = None
    """Key id; unset: the identity of the machine."""
    aws_secret_access_key: SecretText | None = None
    """Secret of the key."""
    aws_region: ReferableText | None = None
    """Region of the cache."""
    aws_cache_name: ReferableText | None = None
    """Name of the cache."""
    aws_is_serverless: bool = True
    """Whether the cache is a serverless one."""
    aws_assume_role_arn: SecretText | None = None
    """Role to take on."""
    aws_role_session_name: SecretText | None = None
    """Name of the session in that role."""
    azure_client_id: SecretText | None = None
    """Client id."""
    azure_client_secret: SecretText | None = None
    """Client secret."""
    azure_tenant_id: SecretText | None = None
    """Tenant."""
    gcp_service_account_json: SecretText | None = None
    """Service account, as its JSON file."""


class Redis(Record):
    """A server and how to reach it."""

    checks = (RuleWhen("host", "ssl", (True,), tls_host_fault),)

    host: ReferableHost | None = None
    """Name or address."""
    port: Annotated[CalledPort, Referenceable()] = 6379
    """Port."""
    timeout: Timeout = 2000
    """Bound of connecting, sending and receiving."""
    username: ReferableText | None = None
    """User name, where the server knows several users."""
    password: _SecretText | None = None
    """Password."""
    database: Integer = 0
    """Number of the database."""
    ssl: bool = False
    """Whether TLS is spoken."""
    ssl_verify: bool = True
    """Whether the server's certificate is verified."""
    server_name: Annotated[Sni, Referenceable(), GatewayRule(tls_name_fault)] | None = None
    """Name in the server's certificate."""
    cloud_authentication: CloudAuthentication | None = None
    """Signing in with an identity of a cloud."""


REDIS_ALIASES: Final = tuple(
    Alias(f"redis_{name}", ("redis", name))
    for name in (
        "host",
        "port",
        "password",
        "username",
        "ssl",
        "ssl_verify",
        "server_name",
        "timeout",
        "database",
    )
)
"""Names of the fields before they had a record of their own."""
