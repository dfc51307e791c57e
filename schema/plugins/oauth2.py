"""oauth2: hands out and checks tokens (RFC 6749)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from schema.authentication import Anonymous, Realm
from schema.base import NO_CONSUMER, WEB_AND_WEBSOCKET, PluginConfig, PluginSpec
from schema.checks import RequiredWhen
from schema.credentials import new_key
from schema.errors import Violation
from schema.marks import Auto, Sealed
from schema.plugin_types import Texts
from schema.types import Number, Text, between

_FLOWS: Final = (
    "enable_authorization_code",
    "enable_implicit_grant",
    "enable_client_credentials",
    "enable_password_grant",
)


@dataclass(frozen=True, slots=True)
class SomeFlow:
    """There is a way to get a token."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(_FLOWS)

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if not any(document[name] for name in _FLOWS):
            yield Violation("", f"at least one of these fields must be true: {', '.join(_FLOWS)}")


class Oauth2(PluginConfig):
    """Lets requests with a token of its own pass. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="oauth2",
        priority=1400,
        protocols=WEB_AND_WEBSOCKET,
        allowed_protocols=WEB_AND_WEBSOCKET,
        scopes=NO_CONSUMER,
        checks=(SomeFlow(), RequiredWhen(("scopes",), "mandatory_scope", (True,))),
    )

    scopes: Texts | None = None
    """Scopes that there are."""
    mandatory_scope: bool = False
    """Whether a token needs a scope."""
    provision_key: Annotated[Text | None, Sealed(), Auto(new_key)] = None
    """What the login page proves itself with; 32 random letters and digits unless given."""
    token_expiration: Number = 7200
    """Seconds for which a token is good; 0: for ever."""
    enable_authorization_code: bool = False
    """Whether there is the authorization code grant."""
    enable_implicit_grant: bool = False
    """Whether there is the implicit grant."""
    enable_client_credentials: bool = False
    """Whether there is the client credentials grant."""
    enable_password_grant: bool = False
    """Whether there is the resource owner password grant."""
    hide_credentials: bool = True
    """Whether the token is taken out before the request goes upstream."""
    accept_http_if_already_terminated: bool = False
    """Whether a trusted proxy's word that TLS ended there is enough."""
    anonymous: Anonymous | None = None
    """Consumer that callers without a valid token count as."""
    global_credentials: bool = False
    """Whether tokens are good for every service that has this plugin with the same setting."""
    auth_header_name: Text = "authorization"
    """Header that carries the token."""
    refresh_token_ttl: Annotated[Number, between(0, 100_000_000, unit="seconds")] = 1_209_600
    """Seconds for which a refresh token is good; 0: for ever."""
    reuse_refresh_token: bool = False
    """Whether a refresh token stays the same when it is used."""
    persistent_refresh_token: bool = False
    """Whether a refresh token outlives the access token that came with it."""
    pkce: Literal["none", "lax", "strict"] = "lax"
    """Who has to prove that the code was meant for them (RFC 7636): nobody, public clients, everybody."""
    realm: Realm | None = None
    """Realm in the challenge."""
