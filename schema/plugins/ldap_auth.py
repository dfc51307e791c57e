"""ldap-auth: callers present a user name and a password of a directory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from schema.authentication import Anonymous, Realm
from schema.base import NO_CONSUMER, WEB_AND_WEBSOCKET, PluginConfig, PluginSpec
from schema.errors import Violation
from schema.marks import GatewayRule
from schema.plugin_types import CalledPort
from schema.types import Host, Number, Text, has_control_characters


def _scheme_fault(scheme: str) -> str | None:
    return "must not contain control characters" if has_control_characters(scheme) else None


@dataclass(frozen=True, slots=True)
class OneKindOfTls:
    """TLS from the first byte and TLS from later on exclude each other."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({"ldaps", "start_tls"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if document["ldaps"] and document["start_tls"]:
            yield Violation("", "'ldaps' and 'start_tls' cannot be enabled simultaneously")


class LdapAuth(PluginConfig):
    """Asks a directory about a password. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="ldap-auth",
        priority=1200,
        since="0.1.0",
        protocols=WEB_AND_WEBSOCKET,
        allowed_protocols=WEB_AND_WEBSOCKET,
        scopes=NO_CONSUMER,
        checks=(OneKindOfTls(),),
    )

    ldap_host: Host
    """Host of the directory."""
    ldap_port: CalledPort = 389
    """Port of the directory."""
    ldaps: bool = False
    """Whether TLS is spoken from the first byte."""
    start_tls: bool = False
    """Whether the connection changes to TLS."""
    verify_ldap_host: bool = True
    """Whether the directory's certificate is verified."""
    base_dn: Text
    """Where the search begins."""
    attribute: Text
    """Attribute that holds the user name."""
    cache_ttl: Number = 60
    """Seconds for which an answer is remembered."""
    hide_credentials: bool = True
    """Whether the header with the password is taken out before the request goes upstream."""
    timeout: Number = 10_000
    """Longest wait for the directory, in milliseconds."""
    keepalive: Number = 60_000
    """How long an idle connection is kept, in milliseconds."""
    anonymous: Anonymous | None = None
    """Consumer that callers without a right password count as."""
    header_type: Annotated[Text, GatewayRule(_scheme_fault)] = "ldap"
    """Scheme in the header."""
    realm: Realm | None = None
    """Realm in the challenge."""
