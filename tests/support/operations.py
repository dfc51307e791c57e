"""All operations of the application, for tests that must cover every one of them, also those added tomorrow."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api.deps import TokenRoute

_PARAMETER = re.compile(r"{([^}:]+)[^}]*}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path template."""

    method: str
    path: str
    operation_id: str
    needs_token: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the variables in the path."""
        return tuple(_PARAMETER.findall(self.path))

    def url(self, values: dict[str, str]) -> str:
        """The path with its variables filled in."""
        return _PARAMETER.sub(lambda match: values[match[1]], self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations(app: FastAPI) -> Iterator[Operation]:
    """Every operation that the application routes."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            for method in sorted(context.methods or ()):
                yield Operation(
                    method,
                    (context.path or "").replace(":path}", "}"),
                    context.operation_id or context.name or "",
                    isinstance(route, TokenRoute),
                )
