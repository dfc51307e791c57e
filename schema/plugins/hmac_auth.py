"""hmac-auth: callers sign their requests with a shared secret."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema.authentication import Anonymous, Realm
from schema.base import NO_CONSUMER, WEB_AND_WEBSOCKET, PluginConfig, PluginSpec
from schema.plugin_types import Texts, above
from schema.types import Number, items

Algorithm = Literal["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"]


class HmacAuth(PluginConfig):
    """Lets requests with a right signature pass. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="hmac-auth",
        priority=1030,
        since="0.1.0",
        protocols=WEB_AND_WEBSOCKET,
        allowed_protocols=WEB_AND_WEBSOCKET,
        scopes=NO_CONSUMER,
    )

    hide_credentials: bool = True
    """Whether the header with the signature is taken out before the request goes upstream."""
    clock_skew: Annotated[Number, above(0)] = 300
    """Seconds that the date of a request may be away from now."""
    anonymous: Anonymous | None = None
    """Consumer that callers without a right signature count as."""
    validate_request_body: bool = False
    """Whether the digest of the body is checked as well."""
    enforce_headers: Texts = Field(default=[])
    """Headers that every signature has to cover."""
    algorithms: Annotated[list[Algorithm], items()] = Field(
        default=["hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"]
    )
    """Algorithms that callers may choose from."""
    realm: Realm | None = None
    """Realm in the challenge."""
