"""Finds the operation of a path without trying all of them.

The framework asks every route in turn, and each kind of entity adds two dozen. Here the segments of the path lead to the few
routes that it can mean, which are then asked as the framework would. Whatever they do not settle (no such path, another
method) goes the framework's own way.
"""

from dataclasses import dataclass, field
from typing import Final

from fastapi import APIRouter
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

_ANY: Final = "{}"


@dataclass(slots=True)
class _Node:
    """What may follow, by segment; variables under `{}`. `routes` end here, with their places in the framework's order."""

    below: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])
    routes: list[tuple[int, Route]] = field(default_factory=list[tuple[int, Route]])


class Dispatcher:
    """An ASGI application before a router's own. Routes that are added later are found as well, the slow way."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._root = _Node()
        for place, route in enumerate(router.routes):
            if isinstance(route, Route):
                self._add(place, route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for _, route in sorted(self._candidates(scope["path"]), key=_place):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.setdefault("router", self._router)
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._router.app(scope, receive, send)

    def _add(self, place: int, route: Route) -> None:
        node = self._root
        for segment in route.path.split("/"):
            if ":path}" in segment:
                return
            node = node.below.setdefault(_ANY if "{" in segment else segment, _Node())
        node.routes.append((place, route))

    def _candidates(self, path: str) -> list[tuple[int, Route]]:
        nodes = [self._root]
        for segment in path.split("/"):
            nodes = [child for node in nodes for key in (segment, _ANY) if (child := node.below.get(key)) is not None]
            if not nodes:
                return []
        return [entry for node in nodes for entry in node.routes]


def _place(entry: tuple[int, Route]) -> int:
    return entry[0]
