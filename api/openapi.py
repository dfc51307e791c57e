"""The OpenAPI documents, made from the application's own routes: one per area, checked in under openapi/.

The framework describes paths, bodies and successes; what holds for all operations is added here: who may call, and how
errors look. Core entities describe their own errors (api/entity_documents.py).
"""

import copy
from collections.abc import Iterator
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api import entity_documents, messages, operation_examples
from api.deps import TokenRoute
from schema.registry import Registry

Json = dict[str, Any]

PROBLEM: Final = "Problem"
_MESSAGE: Final = "Message"
_INVALID_PARAMETER: Final = "InvalidParameter"
_SCHEMAS: Final = "#/components/schemas/"
_EXAMPLES: Final = "#/components/examples/"
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
    "413": "The body is larger than this installation takes.",
    "415": "Nobody reads bodies of this type here.",
}
# Bodies of these name the control plane that they are about.
_GATEWAYS: Final = frozenset({"cloud-gateways", "serverless-cloud-gateways"})
# What the framework says where nobody has said anything better.
_EMPTY: Final = "Successful Response"


def describe(app: FastAPI, declarations: Registry) -> None:
    """Have `app.openapi()` say who may call, how errors look, and give examples of everything."""
    plain = app.openapi

    def openapi() -> Json:
        document = plain()
        _add_security(document, app)
        _add_problems(document)
        _add_descriptions(document)
        operation_examples.add(document, declarations)
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
            entity_documents.add_failures(method, path, operation)
            continue
        possible = ["400"]
        if operation["security"]:
            possible.append("401")
        if "{" in path or ("requestBody" in operation and _GATEWAYS.intersection(operation["tags"])):
            possible.append("404")
        if method in {"post", "put", "patch"}:
            possible.append("409")
        if "requestBody" in operation:
            possible += ["413", "415"]
        content = message if messages.applies_to(method.upper(), path) else problem
        for status in possible:
            responses.setdefault(status, {"description": _MEANINGS[status], "content": content})


def _add_descriptions(document: Json) -> None:
    """Bodies and variables of paths are described by what they are, where the operation does not say more."""
    schemas: Json = document["components"]["schemas"]
    for _, _, operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path" and "description" not in parameter:
                what = parameter["name"].removesuffix("_id").replace("_", " ")
                parameter["description"] = f"Id of the {what}."
        if "requestBody" in operation:
            operation["requestBody"].setdefault("description", _description(operation["requestBody"], schemas))
        for response in operation["responses"].values():
            if response["description"] == _EMPTY:
                response["description"] = _description(response, schemas)


def _description(body: Json, schemas: Json) -> str:
    for media_type in body.get("content", {}).values():
        name = media_type["schema"].get("$ref", "").rsplit("/", 1)[-1]
        return schemas.get(name, {}).get("description") or "Done."
    return "Done."


def _only(whole: Json, area: str) -> Json:
    document: Json = {"openapi": whole["openapi"], "info": {**whole["info"], "title": f"Sluice: {area}"}, "paths": {}}
    for path, method, operation in _operations(whole):
        if operation["tags"][0] == area:
            document["paths"].setdefault(path, {})[method] = operation
    document["components"] = {
        "schemas": _reachable(document["paths"], whole["components"]["schemas"], _SCHEMAS),
        "examples": _reachable(document["paths"], whole["components"]["examples"], _EXAMPLES),
        "securitySchemes": whole["components"]["securitySchemes"],
    }
    return copy.deepcopy(document)


def _reachable(start: Json, components: Json, prefix: str) -> Json:
    """The components of one kind that something refers to, directly or through others."""
    found: Json = {}
    waiting = [start]
    while waiting:
        for name in _references(waiting.pop(), prefix):
            if name not in found:
                found[name] = components[name]
                waiting.append(components[name])
    return dict(sorted(found.items()))


def _references(value: object, prefix: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in cast("Json", value).items():
            if key == "$ref" and str(item).startswith(prefix):
                yield str(item).removeprefix(prefix)
            else:
                yield from _references(item, prefix)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _references(item, prefix)
