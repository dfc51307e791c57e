"""The jwt credential: the issuer's name, and the secret or public key that a consumer's tokens are verified with."""

import base64
from typing import Annotated, ClassVar, Final, Literal, get_args

from schema import signing_keys
from schema.base import Catalog, Document, Entity, EntitySpec, Ref, Unique
from schema.checks import RequiredWhen, RuleWhen
from schema.credentials import new_key
from schema.errors import Violation
from schema.marks import Sealed
from schema.pem import public_key_fault
from schema.types import CredentialKey, Reference, ShortText, Text

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES256K", "ES384", "ES512", "PS256", "PS384", "PS512",
    "EdDSA", "ESB256", "ESB320", "ESB384", "ESB512", "ESP256", "ESP384", "ESP512", "Ed25519", "Ed448",
]  # fmt: skip
_WITH_SECRET: Final = ("HS256", "HS384", "HS512")
_WITH_PUBLIC_KEY: Final = (
    "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519", "Ed448",
)  # fmt: skip
_NOT_SECRET: Final = tuple(name for name in get_args(Algorithm) if name not in _WITH_SECRET)


class Jwt(Entity):
    """What tokens of a consumer are verified with, for the plugin `jwt`."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="jwt_secrets",
        singular="jwt",
        path="jwts",
        nested_path="jwt",
        natural_key="key",
        unique=(Unique(("key",)),),
        filters=("key",),
        checks=(
            RequiredWhen(("rsa_public_key",), "algorithm", _WITH_PUBLIC_KEY),
            RuleWhen("rsa_public_key", "algorithm", _NOT_SECRET, public_key_fault),
        ),
        dated=False,
        example={"key": "https://login.example.com", "secret": "a-secret-of-the-issuers-own", "algorithm": "HS256"},
    )

    key: ShortText | None = None
    """Unique value of the claim that names the issuer; 32 random letters and digits unless given."""
    secret: Annotated[CredentialKey | None, Sealed()] = None
    """Secret of the HMAC algorithms; 32 random letters and digits unless given."""
    algorithm: Algorithm = "HS256"
    """Algorithm that tokens must be signed with."""
    rsa_public_key: Text | None = None
    """Public key in PEM, for the other algorithms; kept as it is beside an HMAC algorithm, which has no use for it."""
    consumer: Annotated[Reference, Ref("consumers", on_delete="cascade", nested=True)]
    """Whose tokens they are."""

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        del catalog
        missing = {name: new_key() for name in ("key", "secret") if document.get(name) is None}
        return {**document, **missing}, []

    @classmethod
    def gateway_faults(cls, document: Document, catalog: Catalog) -> list[Violation]:
        found = super().gateway_faults(document, catalog)
        algorithm: str = document["algorithm"]
        if algorithm in _WITH_SECRET:
            return found
        if algorithm not in signing_keys.ALGORITHMS:
            text = f"algorithm '{algorithm}' is not available on this gateway"
            return [*found, Violation("algorithm", text)]
        if signing_keys.raw(document["rsa_public_key"], algorithm) is None:
            return [
                *found,
                Violation("rsa_public_key", f"invalid key: {algorithm} takes {signing_keys.ALGORITHMS[algorithm]}"),
            ]
        return found

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        """Either the secret or the key, in the form that signatures are verified with."""
        del credential_key
        algorithm: str = document["algorithm"]
        has_secret = algorithm in _WITH_SECRET
        key = None if has_secret else signing_keys.raw(document["rsa_public_key"], algorithm)
        return {
            "id": document["id"],
            "consumer": document["consumer"],
            "key": document["key"],
            "algorithm": algorithm,
            "secret": document["secret"] if has_secret else None,
            "public_key": None if key is None else base64.b64encode(key).decode(),
        }
