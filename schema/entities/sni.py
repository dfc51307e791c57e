"""The SNI: a TLS server name, and the certificate shown for it."""

from typing import Annotated, ClassVar

from schema.addresses import normal_server_name
from schema.base import Entity, EntitySpec, Ref, Unique
from schema.types import Reference, ServerName


class Sni(Entity):
    """A server name, possibly with a wildcard, that is answered with a certificate."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="snis",
        singular="sni",
        natural_key="name",
        unique=(Unique(("name",)),),
        filters=("name",),
        example={"name": "shop.example.com"},
    )

    name: ServerName
    """Server name in lower case; a `*` may stand for the leftmost or the rightmost label, or for every name."""
    certificate: Annotated[Reference, Ref("certificates", on_delete="cascade", nested=True)]
    """The certificate that is shown."""

    @classmethod
    def normal_key(cls, key: str) -> str:
        return normal_server_name(key)
