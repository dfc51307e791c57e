"""The basic-auth credential: a user name and a password that a consumer presents."""

from typing import Annotated, ClassVar

from schema.base import Document, Entity, EntitySpec, Ref, Unique
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
        dated=False,
    )

    username: ShortText
    """Unique user name."""
    password: Annotated[Password, Sealed()]
    """The password; what comes back is its salted hash, which may be written again."""
    consumer: Annotated[Reference, Ref("consumers", on_delete="cascade", nested=True)]
    """Whose password it is."""

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        del credential_key
        return {
            "id": document["id"],
            "consumer": document["consumer"],
            "username": document["username"],
            "password_hash": document["password"],
        }
