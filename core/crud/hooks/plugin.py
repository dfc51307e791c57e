"""A plugin that can never run, whose configuration names what is not there, or whose wish for its place in the order contradicts those of others, is refused."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from core.crud import rows
from core.crud.hooks import EntityHooks, Neighbours
from schema.base import Document, Ref
from schema.errors import Violation
from schema.ordering import Wish, circle, mentioned
from schema.registry import registry
from schema.walk import marked, values_at

_ROUTE: Final = "must match the associated route's protocols"
_SERVICE: Final = "must match the protocols of at least one route pointing to this Plugin's service"


class Hooks(EntityHooks):
    """Protocols of a plugin against those of what it is attached to. Source: Kong Gateway's checks of the same kind."""

    def check(self, document: Document, neighbours: Neighbours) -> Sequence[Violation]:
        missing = [*_missing(document, neighbours)]
        if missing:
            return missing
        own: set[str] = set(document["protocols"])
        if (route_id := _target(document, "route")) is not None:
            route = neighbours.by_id("routes", route_id)
            if route is not None and not own & set(route.doc["protocols"]):
                return [Violation("protocols", _ROUTE)]
        elif (service_id := _target(document, "service")) is not None:
            routes = neighbours.referring("routes", "service", service_id)
            if routes and not any(own & set(route.doc["protocols"]) for route in routes):
                return [Violation("protocols", _SERVICE)]
        found = _circle(document, neighbours)
        if found:
            return [Violation("ordering", f"plugins must not depend on one another in a circle: {', '.join(found)}")]
        return ()


def _missing(document: Document, neighbours: Neighbours) -> Iterator[Violation]:
    """References within the configuration that lead nowhere."""
    declared = registry().plugin_config(document["name"])
    for path, reference in () if declared is None else marked(declared, Ref):
        for place, value in values_at(document["config"], path):
            if neighbours.by_id(reference.to, UUID(value["id"])) is None:
                text = f"the foreign key '{json.dumps(value)}' does not reference an existing '{reference.to}' entity."
                yield Violation(f"config.{place}", text)


@dataclass(frozen=True, slots=True)
class _Use:
    """One plugin, as far as the order is concerned."""

    name: str
    wish: Wish
    protocols: frozenset[str]
    route: UUID | None
    service: UUID | None
    personal: bool
    """For a consumer or a group: it has the place of its kind, and no wish of its own."""

    @staticmethod
    def of(document: Document) -> "_Use":
        return _Use(
            name=document["name"],
            wish=document["ordering"],
            protocols=frozenset(document["protocols"]),
            route=_target(document, "route"),
            service=_target(document, "service"),
            personal=document["consumer"] is not None or document["consumer_group"] is not None,
        )

    def suits(self, route: UUID | None, service: UUID | None) -> bool:
        """Whether requests of this route and service may meet it."""
        return self.route in (None, route) and self.service in (None, service)

    @property
    def rank(self) -> tuple[bool, bool]:
        """The most specific use of a kind counts."""
        return (self.route is not None, self.service is not None)


def _circle(document: Document, neighbours: Neighbours) -> Sequence[str]:
    """Plugins in a circle, with this one as it is to be. Costs one look-up where nobody has a wish."""
    own = _Use.of(document)
    wishes = [row for row in neighbours.having("plugins", "ordering") if str(row.id) != document["id"]]
    names = {name for row in wishes for name in (rows.document_of(row)["name"], *mentioned(row.doc["ordering"]))}
    if own.wish is not None:
        names |= {own.name, *mentioned(own.wish)}
    if own.name not in names:
        return ()
    others = [rows.document_of(row) for row in neighbours.with_keys("plugins", "name", names)]
    uses = [_Use.of(other) for other in others if other["enabled"] and other["id"] != document["id"]]
    if document["enabled"]:
        uses.append(own)
    for route, service in _places(uses, neighbours):
        if not own.suits(route, service):
            continue
        for protocol in sorted(own.protocols):
            found = circle(_met(uses, route, service, protocol))
            if found:
                return found
    return ()


def _places(uses: Sequence[_Use], neighbours: Neighbours) -> Iterator[tuple[UUID | None, UUID | None]]:
    """Routes and services whose plugins are not those of all others."""
    yield None, None
    for service in {use.service for use in uses} - {None}:
        yield None, service
    routes = {use.route for use in uses if use.route is not None}
    for route in neighbours.by_ids("routes", routes):
        yield route.id, _target(rows.document_of(route), "service")


def _met(uses: Sequence[_Use], route: UUID | None, service: UUID | None, protocol: str) -> Mapping[str, Wish]:
    """The wishes of the plugins that requests of a route and service meet."""
    wishes: dict[str, Wish] = {use.name: None for use in uses if use.personal}
    shared = (use for use in uses if not use.personal and protocol in use.protocols and use.suits(route, service))
    wishes |= {use.name: use.wish for use in sorted(shared, key=lambda use: use.rank)}
    return wishes


def _target(document: Document, field: str) -> UUID | None:
    reference: Any = document[field]
    return None if reference is None else UUID(reference["id"])
