"""The ACL entry: a group that a consumer belongs to, for the plugin `acl`."""

from typing import Annotated, ClassVar

from schema.base import Document, Entity, EntitySpec, Ref, Unique
from schema.types import Reference, ShortText


class Acl(Entity):
    """A group of a consumer, for the plugin `acl`. Not a consumer group: it has no plugins of its own."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="acls",
        singular="acl",
        natural_key="group",
        unique=(Unique(("group", "consumer")),),
        filters=("group",),
        dated=False,
        example={"group": "partners"},
    )

    group: ShortText
    """Name of the group; once per consumer."""
    consumer: Annotated[Reference, Ref("consumers", on_delete="cascade", nested=True)]
    """The member."""

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        del credential_key
        return {"id": document["id"], "consumer": document["consumer"], "group": document["group"]}
