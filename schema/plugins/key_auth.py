"""key-auth: callers present a key in a header, in the query or in the body."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schema.authentication import Anonymous, Principals, Realm
from schema.base import NO_CONSUMER, WEB_AND_WEBSOCKET, PluginConfig, PluginSpec, Record
from schema.marks import GatewayRule
from schema.types import HeaderName, Text, Uuid, items


def _only_here(scope: str) -> str | None:
    return "realms outside of the control plane are not available on this gateway" if scope == "realm" else None


class IdentityRealm(Record):
    """A place where keys are looked up."""

    scope: Annotated[Literal["cp", "realm"], GatewayRule(_only_here)] = "cp"
    """`cp`: the control plane's own credentials; `realm`: those of a realm outside of it."""
    id: Uuid | None = None
    """Id of the realm."""
    region: Text | None = None
    """Region of the realm."""


class KeyAuth(PluginConfig):
    """Lets requests with a known key pass. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="key-auth",
        priority=1250,
        since="0.1.0",
        protocols=WEB_AND_WEBSOCKET,
        allowed_protocols=WEB_AND_WEBSOCKET,
        scopes=NO_CONSUMER,
    )

    key_names: Annotated[list[HeaderName], items(minimum=1, maximum=64)] = Field(default=["apikey"])
    """Names under which a key is looked for, in this order."""
    key_in_header: bool = True
    """Whether headers may carry the key."""
    key_in_query: bool = True
    """Whether the query may carry the key."""
    key_in_body: bool = False
    """Whether a form, JSON or multipart body may carry the key. Bodies are buffered then."""
    hide_credentials: bool = True
    """Whether the key is taken out before the request goes upstream."""
    anonymous: Anonymous | None = None
    """Consumer that callers without a valid key count as."""
    realm: Realm | None = None
    """Realm in the challenge."""
    run_on_preflight: bool = True
    """Whether `OPTIONS` requests need a key, too."""
    identity_realms: Annotated[list[IdentityRealm], items(maximum=16)] | None = None
    """Where keys are looked up; unset: in the control plane."""
    principals: Principals = Field(default_factory=Principals)
    """Identities outside of the control plane."""
