"""The cost decoration: what a part of a GraphQL query costs, for rate limits."""

from typing import Annotated, ClassVar

from schema.base import Entity, EntitySpec, Ref, Unique
from schema.types import Number, Reference, ShortText, between, items

_Cost = Annotated[Number, between(0, 2**53)]
_Arguments = Annotated[list[ShortText], items(maximum=256)]


class GraphqlCost(Entity):
    """The cost of a field of a service's GraphQL schema, for the plugin `graphql-rate-limiting-advanced`."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="graphql_costs",
        singular="graphql-rate-limiting-advanced-cost",
        path="graphql-rate-limiting-advanced/costs",
        natural_key=None,
        unique=(Unique(("type_path", "service"), nulls_equal=True),),
        filters=("type_path",),
        gateways=False,
        tagged=False,
        dated=False,
        example={"type_path": "Query.users", "add_constant": 2, "mul_arguments": ["first"]},
    )

    type_path: ShortText
    """The field, as `Type.field`; once per service."""
    add_constant: _Cost = 1
    """Added for the field itself."""
    add_arguments: _Arguments | None = None
    """Arguments whose values are added."""
    mul_constant: _Cost = 1
    """Factor for what is within."""
    mul_arguments: _Arguments | None = None
    """Arguments whose values are factors."""
    service: Annotated[Reference | None, Ref("services", on_delete="cascade", nested=True)] = None
    """The GraphQL server."""
