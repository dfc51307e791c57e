"""The degraphql route: a path that stands for a GraphQL query."""

from typing import Annotated, ClassVar

from pydantic import Field

from schema.base import Entity, EntitySpec, Ref
from schema.types import Distinct, HttpMethod, Reference, Text, items, length


class DegraphqlRoute(Entity):
    """A path and methods that the plugin `degraphql` answers by a query to its service."""

    spec: ClassVar[EntitySpec] = EntitySpec(
        plural="degraphql_routes",
        singular="degraphql_route",
        nested_path="degraphql/routes",
        natural_key=None,
        gateways=False,
        tagged=False,
        example={"uri": "/users/:id", "methods": ["GET"], "query": "query ($id: ID!) { user(id: $id) { name } }"},
    )

    uri: Annotated[Text, length(1, 1024)]
    """Path, with `:name` for variables of the query."""
    methods: Annotated[list[HttpMethod], items(minimum=1, maximum=64), Distinct] = Field(default=["GET"])
    """Methods."""
    query: Text
    """The query."""
    service: Annotated[Reference, Ref("services", on_delete="cascade", nested=True)]
    """The GraphQL server."""
