"""The key: a public key, or a key pair, that plugins sign and verify with."""

from typing import Annotated, ClassVar

from schema.base import Entity, EntitySpec, Record, Ref, Unique
from schema.checks import ExactlyOneOf
from schema.jwk import KidOfJwk, PairInRecord, jwk_fault
from schema.marks import Referenceable, Sealed
from schema.pem import any_private_key_fault, public_key_fault
from schema.types import Name, Reference, Rule, ShortText, Text


class Pem(Record):
    """A key in PEM: at least one of its halves."""

    private_key: Annotated[Text, Rule(any_private_key_fault), Referenceable(), Sealed()] | None = None
    """Private key."""
    public_key: Annotated[Text, Rule(public_key_fault), Referenceable()] | None = None
    """Public key."""


class Key(Entity):
    """A key, as a JSON Web Key (RFC 7517) or in PEM."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="keys",
        singular="key",
        natural_key="name",
        unique=(Unique(("name",)), Unique(("kid", "set"), nulls_equal=True)),
        filters=("name", "kid"),
        checks=(ExactlyOneOf(("jwk", "pem")), KidOfJwk("kid", "jwk"), PairInRecord("pem", "private_key", "public_key")),
        gateways=False,
        example={
            "name": "signing-2026",
            "kid": "signing-2026",
            "jwk": '{"kty": "oct", "kid": "signing-2026", "k": "YS1zZWNyZXQtdGhhdC1ub2JvZHkta25vd3M"}',
        },
    )

    name: Name | None = None
    """Unique name, usable instead of the id."""
    kid: ShortText
    """The key's own id, as tokens name it; once per set."""
    set: Annotated[Reference | None, Ref("key_sets", on_delete="cascade", nested=True)] = None
    """The set that it belongs to."""
    jwk: Annotated[Text, Rule(jwk_fault), Referenceable(), Sealed()] | None = None
    """The key as a JSON Web Key, written as text."""
    pem: Pem | None = None
    """The key in PEM."""
    x5t: ShortText | None = None
    """Thumbprint of the certificate that the key belongs to."""
