"""A plugin that can never run, because its protocols and its route's have nothing in common, is refused."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from core.crud.hooks import EntityHooks, Neighbours
from schema.base import Document
from schema.errors import Violation

_ROUTE: Final = "must match the associated route's protocols"
_SERVICE: Final = "must match the protocols of at least one route pointing to this Plugin's service"


class Hooks(EntityHooks):
    """Protocols of a plugin against those of what it is attached to. Source: Kong Gateway's checks of the same kind."""

    def check(self, document: Document, neighbours: Neighbours) -> Sequence[Violation]:
        own: set[str] = set(document["protocols"])
        if (route_id := _target(document, "route")) is not None:
            route = neighbours.by_id("routes", route_id)
            if route is not None and not own & set(route.doc["protocols"]):
                return [Violation("protocols", _ROUTE)]
        elif (service_id := _target(document, "service")) is not None:
            routes = neighbours.referring("routes", "service", service_id)
            if routes and not any(own & set(route.doc["protocols"]) for route in routes):
                return [Violation("protocols", _SERVICE)]
        return ()


def _target(document: Document, field: str) -> UUID | None:
    reference: Any = document[field]
    return None if reference is None else UUID(reference["id"])
