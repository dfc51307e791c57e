"""The target: one address, or one name that resolves to addresses, of an upstream."""

from typing import Annotated, ClassVar

from schema.addresses import normal_target
from schema.base import Entity, EntitySpec, Ref, Unique
from schema.types import Integer, Reference, TargetAddress, between


class Target(Entity):
    """An address of a backend, with its share of the upstream's traffic."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="targets",
        singular="target",
        natural_key="target",
        unique=(Unique(("target", "upstream")),),
        filters=("target",),
        example={"target": "10.1.2.3:8080", "weight": 50},
    )

    target: TargetAddress
    """Host name or address with a port (8000 unless given); unique within its upstream."""
    weight: Annotated[Integer, between(0, 65_535)] = 100
    """Share of the traffic among the upstream's targets; 0 takes it out of rotation."""
    failover: bool = False
    """Whether it is used only when no other target is healthy."""
    upstream: Annotated[Reference, Ref("upstreams", on_delete="cascade", nested=True)]
    """The upstream that it belongs to."""

    @classmethod
    def normal_key(cls, key: str) -> str:
        return normal_target(key) or key
