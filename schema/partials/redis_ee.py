"""redis-ee: a server, a cluster, or servers behind sentinels."""

from typing import Annotated, ClassVar, Literal

from schema.base import PartialConfig, Record
from schema.checks import AllOrNoneOf
from schema.marks import Referenceable
from schema.plugin_types import ReferableText, SecretText, Timeout
from schema.redis import CloudAuthentication
from schema.types import Host, Integer, Port, Sni, Text, between, items


class ClusterNode(Record):
    """A node of a cluster."""

    ip: Host = "127.0.0.1"
    """Name or address."""
    port: Port = 6379
    """Port."""


class SentinelNode(Record):
    """A sentinel."""

    host: Host = "127.0.0.1"
    """Name or address."""
    port: Port = 6379
    """Port."""


class RedisEe(PartialConfig):
    """A Redis-compatible server, cluster or sentinel group."""

    kind: ClassVar[str] = "redis-ee"
    checks: ClassVar = (AllOrNoneOf(("sentinel_master", "sentinel_role", "sentinel_nodes")),)

    host: Annotated[Host, Referenceable()] | None = "127.0.0.1"
    """Name or address of a single server."""
    port: Annotated[Port, Referenceable()] | None = 6379
    """Port of a single server."""
    connect_timeout: Timeout = 2000
    """Bound of connecting."""
    send_timeout: Timeout = 2000
    """Longest pause between two writes."""
    read_timeout: Timeout = 2000
    """Longest pause between two reads."""
    username: ReferableText | None = None
    """User name, where the server knows several users."""
    password: SecretText | None = None
    """Password."""
    sentinel_username: ReferableText | None = None
    """User name towards sentinels."""
    sentinel_password: SecretText | None = None
    """Password towards sentinels."""
    database: Integer = 0
    """Number of the database."""
    keepalive_pool_size: Annotated[Integer, between(1, 2_147_483_646)] = 256
    """Idle connections that are kept, per worker."""
    keepalive_backlog: Annotated[Integer, between(0, 2_147_483_646)] | None = None
    """Connections that may wait for one to be free; unset: without bound."""
    sentinel_master: Text | None = None
    """Name under which sentinels know the servers."""
    sentinel_role: Literal["master", "slave", "any"] | None = None
    """Which of the servers is asked for."""
    sentinel_nodes: Annotated[list[SentinelNode], items(minimum=1, maximum=256)] | None = None
    """The sentinels."""
    cluster_nodes: Annotated[list[ClusterNode], items(minimum=1, maximum=256)] | None = None
    """Nodes that a cluster is first found at."""
    cluster_max_redirections: Integer = 5
    """How often a cluster may send a command elsewhere."""
    ssl: bool = False
    """Whether TLS is spoken."""
    ssl_verify: bool = True
    """Whether the server's certificate is verified."""
    server_name: Annotated[Sni, Referenceable()] | None = None
    """Name in the server's certificate."""
    connection_is_proxied: bool = False
    """Whether a proxy stands before the server, so that connections cannot be told apart by server."""
    cloud_authentication: CloudAuthentication | None = None
    """Signing in with an identity of a cloud."""
