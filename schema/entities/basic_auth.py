"""The basic-auth credential: a user name and a password that a consumer presents."""

from typing import Annotated, ClassVar

from pydantic import Field

from schema.base import Document, Entity, EntitySpec, Ref, Unique
from schema.credentials import hash_of_digest
from schema.errors import Violation
from schema.marks import Sealed
from schema.types import Password, Reference, ShortText


class BasicAuth(Entity):
    """A user name and password of a consumer, for the plugin `basic-auth`."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="basicauth_credentials",
        singular="basic-auth",
        path="basic-auths",
        nested_path="basic-auth",
        natural_key="username",
        unique=(Unique(("username",)),),
        filters=("username",),
        flags=("skip_hash",),
        dated=False,
        example={"username": "ada", "password": "correct horse battery staple"},
    )

    username: ShortText
    """Unique user name."""
    password: Annotated[Password, Sealed()]
    """The password; what comes back is its salted hash, which may be written again."""
    consumer: Annotated[Reference, Ref("consumers", on_delete="cascade", nested=True)]
    """Whose password it is."""

    skip_hash: Annotated[bool | None, Field(json_schema_extra={"writeOnly": True}, exclude=True)] = None
    """Whether the password is a digest already: SHA-1 or SHA-256, in hex, of the password and the consumer's id."""

    @classmethod
    def expand(cls, document: Document) -> tuple[Document, list[Violation]]:
        password = document.get("password")
        if document.get("skip_hash") is not True or not isinstance(password, str):
            return document, []
        hashed = hash_of_digest(password)
        if hashed is None:
            return document, [
                Violation("password", "expected a SHA-1 or SHA-256 digest in hex, or a hash as it was read")
            ]
        return {**document, "password": hashed}, []

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        del credential_key
        return {
            "id": document["id"],
            "consumer": document["consumer"],
            "username": document["username"],
            "password_hash": document["password"],
        }
