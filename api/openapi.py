"""The OpenAPI documents, made from the application's own routes: one per area, checked in under openapi/.

The framework describes paths, bodies and successes; what holds for all operations is added here: who may call, and how
errors look. Core entities describe their own errors (api/entity_documents.py).
"""

import copy
from collections.abc import Iterator
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api import messages
from api.deps import TokenRoute

Json = dict[str, Any]

PROBLEM: Final = "Problem"
_MESSAGE: Final = "Message"
_INVALID_PARAMETER: Final = "InvalidParameter"
_SECURITY: Final = "personalAccessToken"
# The framework's own error form, which is never sent.
_UNUSED: Final = ("HTTPValidationError", "ValidationError")

_COMPONENTS: Final[Json] = {
    _MESSAGE: {
        "title": _MESSAGE,
        "type": "object",
        "required": ["message"],
        "properties": {"message": {"type": "string", "description": "What is wrong."}},
    },
    _INVALID_PARAMETER: {
        "title": _INVALID_PARAMETER,
        "type": "object",
        "required": ["field", "reason"],
        "properties": {
            "field": {"type": "string", "description": "Dotted path with indexes: `config.proxy_urls[0].port`."},
            "reason": {"type": "string"},
            "rule": {"type": ["string", "null"], "description": "The rule that is broken, by name."},
            "source": {"type": ["string", "null"], "enum": ["body", "query", "path", "header", None]},
            "minimum": {"type": "integer", "description": "With rules of the minimum family."},
            "maximum": {"type": "integer", "description": "With rules of the maximum family."},
            "choices": {"type": "array", "items": {}, "description": "With rule `enum`."},
            "dependents": {"type": "array", "items": {"type": "string"}, "description": "With `dependent_fields`."},
        },
    },
    PROBLEM: {
        "title": PROBLEM,
        "description": "Problem details (RFC 9457).",
        "type": "object",
        "required": ["status", "title", "instance", "detail"],
        "properties": {
            "status": {"type": "integer", "description": "The HTTP status."},
            "title": {"type": "string"},
            "type": {"type": "string"},
            "instance": {"type": "string", "description": "`konnect:trace:<number>`; finds the request in the log."},
            "detail": {"type": "string"},
            "invalid_parameters": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": f"#/components/schemas/{_INVALID_PARAMETER}"},
                "description": "Only and always with status 400.",
            },
        },
    },
}

_MEANINGS: Final = {
    "400": "Something about the request is not acceptable; `invalid_parameters` says what.",
    "401": "No valid token.",
    "404": "No such thing in the caller's organization.",
    "409": "The request collides with what is there.",
}


def describe(app: FastAPI) -> None:
    """Have `app.openapi()` say who may call and how errors look."""
    plain = app.openapi

    def openapi() -> Json:
        document = plain()
        _add_security(document, app)
        _add_problems(document)
        return document

    app.openapi = openapi


def documents(app: FastAPI) -> dict[str, Json]:
    """The documents by the name of their area (the first tag of its operations), each with only the parts it uses."""
    whole = app.openapi()
    areas = sorted({operation["tags"][0] for _, _, operation in _operations(whole)})
    return {area: _only(whole, area) for area in areas}


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    paths: dict[str, dict[str, Json]] = document["paths"]
    for path, item in paths.items():
        for method, operation in item.items():
            yield path, method, operation


def _add_security(document: Json, app: FastAPI) -> None:
    guarded: set[str] = set()
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, TokenRoute):
            guarded.add(context.original_route.operation_id or context.original_route.unique_id)
    document["components"]["securitySchemes"] = {
        _SECURITY: {"type": "http", "scheme": "bearer", "bearerFormat": "kpat_…"}
    }
    for _, _, operation in _operations(document):
        operation["security"] = [{_SECURITY: []}] if operation["operationId"] in guarded else []


def _add_problems(document: Json) -> None:
    schemas: Json = document["components"].setdefault("schemas", {})
    for name in _UNUSED:
        schemas.pop(name, None)
    schemas.update(copy.deepcopy(_COMPONENTS))
    problem = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}}
    message = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_MESSAGE}"}}}
    for path, method, operation in _operations(document):
        responses: Json = operation["responses"]
        responses.pop("422", None)
        if "core-entities" in operation["tags"]:
            continue
        possible = ["400"]
        if operation["security"]:
            possible.append("401")
        if "{" in path:
            possible.append("404")
        if method in {"post", "put", "patch"}:
            possible.append("409")
        content = message if messages.applies_to(method.upper(), path) else problem
        for status in possible:
            responses.setdefault(status, {"description": _MEANINGS[status], "content": content})


def _only(whole: Json, area: str) -> Json:
    document: Json = {"openapi": whole["openapi"], "info": {**whole["info"], "title": f"Sluice: {area}"}, "paths": {}}
    for path, method, operation in _operations(whole):
        if operation["tags"][0] == area:
            document["paths"].setdefault(path, {})[method] = operation
    document["components"] = {
        "schemas": _reachable(document["paths"], whole["components"]["schemas"]),
        "securitySchemes": whole["components"]["securitySchemes"],
    }
    return copy.deepcopy(document)


def _reachable(start: Json, schemas: Json) -> Json:
    found: Json = {}
    waiting = [start]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                found[name] = schemas[name]
                waiting.append(schemas[name])
    return dict(sorted(found.items()))


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in cast("Json", value).items():
            if key == "$ref":
                yield str(item).rsplit("/", 1)[-1]
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _references(item)
