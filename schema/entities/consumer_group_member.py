"""The membership of one consumer in one group; clients write it through the paths of both (api/routes/memberships.py)."""

from typing import Annotated, ClassVar

from schema.base import Document, Entity, EntitySpec, Ref, Unique
from schema.types import Reference


class ConsumerGroupMember(Entity):
    """One consumer in one group."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="consumer_group_members",
        singular="consumer_group_member",
        natural_key=None,
        unique=(Unique(("consumer", "consumer_group")),),
        mounted=False,
    )

    consumer: Annotated[Reference, Ref("consumers", on_delete="cascade", listed_as="groups")]
    """The member."""
    consumer_group: Annotated[Reference, Ref("consumer_groups", on_delete="cascade")]
    """The group."""

    @classmethod
    def for_gateways(cls, document: Document, credential_key: bytes) -> Document:
        del credential_key
        return {name: document[name] for name in ("id", "consumer", "consumer_group")}
