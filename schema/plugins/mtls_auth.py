"""mtls-auth: callers prove themselves with a certificate in the handshake."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema.authentication import Anonymous
from schema.base import NO_CONSUMER, WEB_AND_WEBSOCKET, PluginConfig, PluginSpec
from schema.checks import AllOrNoneOf
from schema.plugin_types import Texts
from schema.types import Host, Number, Port, Text, Uuid, items


class MtlsAuth(PluginConfig):
    """Lets callers with a known certificate pass. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="mtls-auth",
        priority=1600,
        allowed_protocols=WEB_AND_WEBSOCKET,
        scopes=NO_CONSUMER,
        checks=(
            AllOrNoneOf(("http_proxy_host", "http_proxy_port")),
            AllOrNoneOf(("https_proxy_host", "https_proxy_port")),
        ),
    )

    anonymous: Anonymous | None = None
    """Consumer that callers without a known certificate count as."""
    consumer_by: Annotated[list[Literal["custom_id", "username"]], items()] = Field(default=["username", "custom_id"])
    """Which names of consumers the certificate's names are compared with."""
    ca_certificates: Annotated[list[Uuid], items(maximum=256)]
    """Ids of the authorities that are trusted."""
    cache_ttl: Number = 60
    """Seconds for which a consumer that was found is remembered."""
    skip_consumer_lookup: bool = False
    """Whether a valid certificate is enough, without a consumer."""
    allow_partial_chain: bool = False
    """Whether an intermediate authority may be the end of the chain."""
    authenticated_group_by: Literal["CN", "DN"] = "CN"
    """What becomes the group of a caller without a consumer: the common or the distinguished name."""
    revocation_check_mode: Literal["IGNORE_CA_ERROR", "SKIP", "STRICT"] = "IGNORE_CA_ERROR"
    """Whether revoked certificates are refused, and what a failure to find out means."""
    http_timeout: Number = 30_000
    """Longest wait for an answer about revocation, in milliseconds."""
    cert_cache_ttl: Number = 60_000
    """How long such an answer is remembered, in milliseconds."""
    send_ca_dn: bool = False
    """Whether the handshake tells the client which authorities are trusted."""
    http_proxy_host: Host | None = None
    """Proxy for questions about revocation over HTTP."""
    http_proxy_port: Port | None = None
    """Port of that proxy."""
    https_proxy_host: Host | None = None
    """Proxy for questions about revocation over HTTPS."""
    https_proxy_port: Port | None = None
    """Port of that proxy."""
    default_consumer: Text | None = None
    """Consumer of callers whose valid certificate fits none."""
    ssl_verify: bool = True
    """Whether the certificate of whoever answers about revocation is verified."""
    san_dirname_matcher: Texts = Field(default=[])
    """Parts of directory names among the certificate's further names that name the consumer."""
