"""session: callers that have proved themselves once come back with a cookie."""

import re
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from schema.aliases import Alias
from schema.base import EVERY_PROTOCOL, NO_CONSUMER, PluginConfig, PluginSpec
from schema.marks import GatewayRule
from schema.plugin_types import HeaderText, SecretText
from schema.types import Distinct, Number, Text, items

_About = Annotated[
    list[Literal["id", "audience", "subject", "timeout", "idling-timeout", "rolling-timeout", "absolute-timeout"]],
    items(),
    Distinct,
]


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def _name_fault(name: str) -> str | None:
    return None if _TOKEN.fullmatch(name) else "no name of a cookie (RFC 6265 section 4.1.1)"


def _attribute_fault(text: str) -> str | None:
    return "no value of an attribute of cookies (RFC 6265 section 4.1.1)" if ";" in text or not text.isascii() else None


def _storage_fault(storage: str) -> str | None:
    return None if storage == "cookie" else "this gateway has no database: sessions are kept with the client"


def _metadata_fault(kept: bool) -> str | None:
    return "sessions are kept with the client: there is nothing to find them in" if kept else None


def _hash_fault(hashed: bool) -> str | None:
    return "subjects leave this gateway within encrypted cookies only" if hashed else None


_CookieName = Annotated[HeaderText, GatewayRule(_name_fault)]
_CookieAttribute = Annotated[HeaderText, GatewayRule(_attribute_fault)]


def _same_site(value: Any) -> Any:
    return "Lax" if value == "off" else value


class Session(PluginConfig):
    """Remembers who asks, in a cookie. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="session", priority=1900, since="0.1.0", allowed_protocols=EVERY_PROTOCOL, scopes=NO_CONSUMER
    )
    aliases = (
        Alias("cookie_lifetime", ("rolling_timeout",), shorthand=True),
        Alias("cookie_idletime", ("idling_timeout",), shorthand=True),
        Alias("cookie_discard", ("stale_ttl",), shorthand=True),
        Alias("cookie_samesite", ("cookie_same_site",), shorthand=True, convert=_same_site),
        Alias("cookie_httponly", ("cookie_http_only",), shorthand=True),
        Alias("cookie_persistent", ("remember",), shorthand=True),
    )

    secret: SecretText | None = None
    """What cookies are encrypted with; unset: a secret that the control plane's gateways have in common."""
    storage: Annotated[Literal["cookie", "kong"], GatewayRule(_storage_fault)] = "cookie"
    """Where sessions are kept: with the client, or in the gateway's database."""
    audience: Text = "default"
    """Whom sessions are for."""
    idling_timeout: Number = 900
    """Seconds without a request after which a session ends; 0: never."""
    rolling_timeout: Number = 3600
    """Seconds after which a session has to be renewed; 0: never."""
    absolute_timeout: Number = 86_400
    """Seconds after which a session ends in any case; 0: never."""
    stale_ttl: Number = 10
    """Seconds for which a renewed cookie's predecessor is still good."""
    bind: Annotated[list[Literal["ip", "scheme", "user-agent"]], items(), Distinct] | None = None
    """What a session is bound to: it ends when that changes."""
    cookie_name: _CookieName = "session"
    """Name of the cookie."""
    cookie_path: _CookieAttribute = "/"
    """Path of the cookie."""
    cookie_domain: _CookieAttribute | None = None
    """Domain of the cookie."""
    cookie_same_site: Literal["Default", "Lax", "None", "Strict"] = "Strict"
    """Whether requests that other sites cause carry the cookie (RFC 6265bis)."""
    cookie_http_only: bool = True
    """Whether the cookie is out of reach for scripts."""
    cookie_secure: bool = True
    """Whether the cookie travels over TLS only."""
    remember: bool = False
    """Whether there are lasting sessions."""
    remember_cookie_name: _CookieName = "remember"
    """Name of the cookie of lasting sessions."""
    remember_rolling_timeout: Number = 604_800
    """Seconds after which a lasting session has to be renewed; 0: never."""
    remember_absolute_timeout: Number = 2_592_000
    """Seconds after which a lasting session ends in any case; 0: never."""
    response_headers: _About | None = None
    """What clients are told of the session."""
    request_headers: _About | None = None
    """What upstreams are told of the session."""
    read_body_for_logout: bool = False
    """Whether a form may ask for the session's end."""
    logout_methods: Annotated[list[Literal["DELETE", "GET", "POST"]], items(), Distinct] = Field(
        default=["POST", "DELETE"]
    )
    """Methods that may end the session."""
    logout_query_arg: Text = "session_logout"
    """Query argument that ends the session."""
    logout_post_arg: Text = "session_logout"
    """Form field that ends the session."""
    hash_subject: Annotated[bool, GatewayRule(_hash_fault)] = False
    """Whether subjects are kept as hashes."""
    store_metadata: Annotated[bool, GatewayRule(_metadata_fault)] = False
    """Whether sessions can be found by their subject."""
