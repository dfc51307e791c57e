"""acme: gets certificates for hosts by itself (RFC 8555)."""

from typing import Annotated, Any, ClassVar, Literal

from schema.aliases import Alias
from schema.base import PluginConfig, PluginSpec, Record
from schema.checks import RequiredWhen
from schema.marks import Referenceable, Sealed
from schema.plugin_types import AnyText, SecretText
from schema.redis import Redis
from schema.types import Host, Number, Port, RouteHost, Rule, Sni, Text, Url, items


class AccountKey(Record):
    """The account's key among the control plane's keys."""

    key_id: Annotated[Text, Sealed()]
    """Name of the key."""
    key_set: Annotated[Text | None, Sealed()] = None
    """Set that the key is in."""


class Shm(Record):
    """Memory of one node."""

    shm_name: Text = "kong"
    """Name of the shared memory."""


class RedisOptions(Record):
    """How keys are laid out."""

    namespace: AnyText = ""
    """Prefix of every key."""
    scan_count: Number = 10
    """Keys that are looked through at a time."""


class RedisStorage(Redis):
    """A server and how to reach it."""

    aliases = (
        Alias("auth", ("password",)),
        Alias("ssl_server_name", ("server_name",)),
        Alias("namespace", ("extra_options", "namespace")),
        Alias("scan_count", ("extra_options", "scan_count")),
    )

    extra_options: RedisOptions | None = None
    """How keys are laid out."""


class KeyValueStore(Record):
    """A server that keeps keys below a path."""

    https: bool = False
    """Whether TLS is spoken."""
    host: Host | None = None
    """Host of the server."""
    port: Port | None = None
    """Port of the server."""
    kv_path: Text | None = None
    """Prefix of every key."""
    timeout: Number | None = None
    """Longest wait for the server, in milliseconds."""
    token: SecretText | None = None
    """Token."""


class Consul(KeyValueStore):
    """Consul's key-value store."""


class VaultStorage(KeyValueStore):
    """HashiCorp Vault's key-value store."""

    tls_verify: bool = True
    """Whether the server's certificate is verified."""
    tls_server_name: Sni | None = None
    """Server name in the handshake."""
    auth_method: Literal["token", "kubernetes"] = "token"
    """How the gateway signs in."""
    auth_path: Text | None = None
    """Path of the sign-in method."""
    auth_role: Text | None = None
    """Role to sign in as."""
    jwt_path: Text | None = None
    """File with the token of the cluster's service account."""


class StorageConfig(Record):
    """Settings of every kind of storage."""

    shm: Shm | None = None
    """Settings of `shm`."""
    kong: Annotated[dict[str, Any], items(maximum=0)] | None = None
    """Settings of `kong`: there are none."""
    redis: RedisStorage | None = None
    """Settings of `redis`."""
    consul: Consul | None = None
    """Settings of `consul`."""
    vault: VaultStorage | None = None
    """Settings of `vault`."""


def _address_fault(value: str) -> str | None:
    return None if "@" in value else f"invalid value: {value}"


class Acme(PluginConfig):
    """Gets and renews certificates. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="acme",
        priority=1705,
        scopes=frozenset(),
        checks=(RequiredWhen(("storage_config.redis.host",), "storage", ("redis",)),),
        partials=(("redis-ce", "config.storage_config.redis"),),
    )

    account_email: Annotated[Text, Rule(_address_fault), Referenceable(), Sealed()]
    """Address of whoever the authority writes to."""
    account_key: AccountKey | None = None
    """The account's key; unset: one of its own making."""
    api_uri: Url = "https://acme-v02.api.letsencrypt.org/directory"
    """Directory of the authority."""
    tos_accepted: bool = False
    """Whether the authority's terms are accepted."""
    eab_kid: SecretText | None = None
    """Key id of an account that the authority already knows."""
    eab_hmac_key: SecretText | None = None
    """Key of that account."""
    cert_type: Literal["rsa", "ecc"] = "rsa"
    """Kind of the certificates' keys."""
    rsa_key_size: Literal[2048, 3072, 4096] = 4096
    """Bits of an RSA key."""
    renew_threshold_days: Number = 14
    """Days before its end when a certificate is renewed."""
    domains: Annotated[list[RouteHost], items(maximum=1024)] | None = None
    """Hosts that may have a certificate."""
    allow_any_domain: bool = False
    """Whether any host may have one."""
    fail_backoff_minutes: Number = 5
    """Minutes after a failure until the next attempt."""
    storage: Literal["kong", "shm", "redis", "consul", "vault"] = "shm"
    """Where certificates are kept."""
    storage_config: StorageConfig | None = None
    """Settings of every kind of storage; unset: the defaults."""
    preferred_chain: Text | None = None
    """Name of the root that a chain should lead to, where the authority offers several."""
    enable_ipv4_common_name: bool = True
    """Whether an address may be a certificate's common name."""
