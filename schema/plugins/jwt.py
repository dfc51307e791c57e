"""jwt: callers present a signed token (RFC 7519)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from schema.authentication import Anonymous, Realm
from schema.base import NO_CONSUMER, PluginConfig, PluginSpec
from schema.errors import Violation
from schema.plugin_types import TextSet
from schema.types import Distinct, Number, Text, between, items


@dataclass(frozen=True, slots=True)
class ExpiryIsVerified:
    """A longest lifetime is only looked at where `exp` is."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({"maximum_expiration", "claims_to_verify"})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if document["maximum_expiration"] > 0 and "exp" not in (document["claims_to_verify"] or ()):
            yield Violation("claims_to_verify", "expected to contain: exp")
            yield Violation("", "failed conditional validation given value of field 'maximum_expiration'")


class Jwt(PluginConfig):
    """Lets requests with a valid token pass. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="jwt", priority=1450, since="0.1.0", scopes=NO_CONSUMER, checks=(ExpiryIsVerified(),)
    )

    uri_param_names: TextSet = Field(default=["jwt"])
    """Query arguments that may carry the token."""
    cookie_names: TextSet = Field(default=[])
    """Cookies that may carry the token."""
    header_names: TextSet = Field(default=["authorization"])
    """Headers that may carry the token."""
    key_claim_name: Text = "iss"
    """Claim that names the credential."""
    secret_is_base64: bool = False
    """Whether the secrets of credentials are to be decoded first."""
    claims_to_verify: Annotated[list[Literal["exp", "nbf"]], items(), Distinct] | None = None
    """Claims of time that are looked at."""
    maximum_expiration: Annotated[Number, between(0, 31_536_000, unit="seconds")] = 0
    """Longest time until `exp`; 0: any."""
    anonymous: Anonymous | None = None
    """Consumer that callers without a valid token count as."""
    run_on_preflight: bool = True
    """Whether `OPTIONS` requests need a token, too."""
    realm: Realm | None = None
    """Realm in the challenge."""
