"""The hmac-auth credential: a user name and the secret that a consumer signs requests with."""

from typing import Annotated, ClassVar

from schema.base import Catalog, Document, Entity, EntitySpec, Ref, Unique
from schema.credentials import new_key
from schema.errors import Violation
from schema.marks import Sealed
from schema.types import CredentialKey, Reference, ShortText


class HmacAuth(Entity):
    """A user name and secret of a consumer, for the plugin `hmac-auth`."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="hmacauth_credentials",
        singular="hmac-auth",
        path="hmac-auths",
        nested_path="hmac-auth",
        natural_key="username",
        unique=(Unique(("username",)),),
        filters=("username",),
        dated=False,
        example={"username": "ada", "secret": "a-secret-of-adas-own"},
    )

    username: ShortText
    """Unique user name."""
    secret: Annotated[CredentialKey | None, Sealed()] = None
    """The secret; 32 random letters and digits unless given."""
    consumer: Annotated[Reference, Ref("consumers", on_delete="cascade", nested=True)]
    """Whose secret it is."""

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        del catalog
        return document if document.get("secret") is not None else {**document, "secret": new_key()}, []

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        del credential_key
        return {name: document[name] for name in ("id", "consumer", "username", "secret")}
