"""The key-auth credential: a key that a consumer presents."""

from typing import Annotated, Any, ClassVar

from schema.base import Catalog, Document, Entity, EntitySpec, Ref, Unique
from schema.credentials import key_hash, new_key
from schema.errors import Violation
from schema.marks import Sealed
from schema.types import CredentialKey, Integer, Reference, between


class KeyAuth(Entity):
    """A key of a consumer, for the plugin `key-auth`."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="keyauth_credentials",
        singular="key-auth",
        path="key-auths",
        nested_path="key-auth",
        natural_key="key",
        unique=(Unique(("key",)),),
        ttl="ttl",
        dated=False,
        example={"key": "a-key-of-adas-own", "ttl": 86400},
    )

    key: Annotated[CredentialKey | None, Sealed()] = None
    """The key; 32 random letters and digits unless given."""
    ttl: Annotated[Integer, between(0, 100_000_000, unit="seconds")] | None = None
    """Seconds after its last change at which the key ends; unset or 0: never."""
    consumer: Annotated[Reference, Ref("consumers", on_delete="cascade", nested=True)]
    """Whose key it is."""

    @classmethod
    def complete(cls, document: Document, catalog: Catalog) -> tuple[Document, list[Violation]]:
        del catalog
        return document if document.get("key") is not None else {**document, "key": new_key()}, []

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        ttl: Any = document["ttl"]
        return {
            "id": document["id"],
            "consumer": document["consumer"],
            "key_hash": key_hash(credential_key, document["key"]),
            "expires_at": document["updated_at"] + ttl if ttl else None,
        }
