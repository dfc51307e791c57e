"""How the operations on entities appear in the OpenAPI document."""

from typing import Any, Final

from fastapi import FastAPI

from api.bodies import FORM, MULTIPART
from schema.base import Entity
from schema.export import entity_components, plugin_components
from schema.registry import Registry

Json = dict[str, Any]

ERROR: Final = "CoreEntityError"
_UNAUTHORIZED: Final = "CoreEntityUnauthorized"
_ERROR_SCHEMA: Final[Json] = {
    "title": ERROR,
    "type": "object",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "integer", "description": "A gRPC status code; 3: the request is wrong, 5: not found."},
        "message": {"type": "string", "description": "What went wrong, in a few words."},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["@type", "type", "messages"],
                "properties": {
                    "@type": {"type": "string"},
                    "type": {
                        "type": "string",
                        "enum": ["ERROR_TYPE_FIELD", "ERROR_TYPE_ENTITY", "ERROR_TYPE_REFERENCE"],
                    },
                    "field": {"type": "string", "description": "Dotted path with indexes: `paths[0]`."},
                    "messages": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}
_UNAUTHORIZED_SCHEMA: Final[Json] = {
    "title": _UNAUTHORIZED,
    "type": "object",
    "required": ["message", "status"],
    "properties": {"message": {"type": "string"}, "status": {"type": "integer"}},
}

MESSAGE: Final[Json] = {
    "application/json": {
        "schema": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
    }
}
PROBLEM: Final[Json] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def path_parameters(*names_and_titles: tuple[str, str]) -> list[Json]:
    """The variables of a path; `title` says whose id or name it is."""
    parameters: list[Json] = [
        {
            "name": "controlPlaneId",
            "in": "path",
            "required": True,
            "description": "The control plane.",
            "schema": {"type": "string", "format": "uuid"},
        }
    ]
    parameters += [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"Id of the {title}, or its name where it has one.",
            "schema": {"type": "string"},
        }
        for name, title in names_and_titles
    ]
    return parameters


def list_parameters(entity: type[Entity]) -> list[Json]:
    """What every list understands, and the filters of this one."""
    found = page_parameters()
    for name in entity.spec.filters:
        found.append(_query(f"filter[{name}][eq]", f"Only the item whose {name} is this.", {"type": "string"}))
        found.append(_query(f"filter[{name}][contains]", f"Only items with this in their {name}.", {"type": "string"}))
    aliases = dict(entity.spec.filter_aliases)
    for name, field in aliases.items():
        found.append(_query(f"filter[{name}][eq]", f"The same as for {field}.", {"type": "string"}))
        found.append(_query(f"filter[{name}][contains]", f"The same as for {field}.", {"type": "string"}))
    for name in entity.spec.queries:
        found.append(_query(name, f"Only the item whose {name} is this.", {"type": "string"}))
    return found


def expansion_parameters(entity: type[Entity]) -> list[Json]:
    """What shows an entity together with what it takes from others."""
    return [
        _query(f"expand_{reference.name}", f"Show what its {reference.name} say as its own.", {"type": "boolean"})
        for reference in entity.references()
        if reference.ref.merged
    ]


def flag_parameters(entity: type[Entity]) -> list[Json]:
    """The query parameters that writes of an entity understand."""
    return [
        _query(name, entity.model_fields[name].description or "", {"type": "boolean"}) for name in entity.spec.flags
    ]


def page_parameters(*, tags: bool = True) -> list[Json]:
    """What selects a page and what is on it."""
    found = [
        _query("size", "Items per page.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
        _query("offset", "Cursor from the previous page; empty for the first.", {"type": "string"}),
    ]
    if tags:
        found.append(_query("tags", "Only items with all of `a,b`, or with one of `a/b`.", {"type": "string"}))
    return found


def flag(name: str, description: str) -> Json:
    """A query parameter that is `1` or absent."""
    return _query(name, description, {"type": "string", "enum": ["1", "true"]})


def request_body(entity: type[Entity]) -> Json:
    """A required document, as JSON or as a form."""
    return {"required": True, "content": readable(_ref(f"{entity.spec.title}Input"))}


def readable(schema: Json) -> Json:
    """One schema in all the media types that such bodies are read in."""
    return {kind: {"schema": schema} for kind in ("application/json", FORM, MULTIPART)}


def responses(
    entity: type[Entity], status: int, *, page: bool = False, schema: Json | None = None, what: str = ""
) -> dict[int | str, Json]:
    """The success of an operation and the ways it fails. `schema`: of what comes back, if it is not the entity itself.

    `what` says what that is.
    """
    success: Json = {"description": "Done."}
    if status != 204:
        title = entity.spec.title
        success = {"description": what or ("A page." if page else f"The {entity.spec.singular}.")}
        success["content"] = _json(schema or (_page(title) if page else _ref(title)))
    return {
        status: success,
        400: {"description": "The request cannot be fulfilled as it stands.", "content": _json(_ref(ERROR))},
        401: {"description": "No valid token.", "content": _json(_ref(_UNAUTHORIZED))},
        404: {"description": "No such thing.", "content": _json(_ref(ERROR))},
    }


def schema_responses(schema: Json) -> dict[int | str, Json]:
    """The same for an operation on declarations."""
    return {
        200: {"description": "Done.", "content": _json(schema)},
        400: {"description": "The request cannot be fulfilled as it stands.", "content": _json(_ref(ERROR))},
        401: {"description": "No valid token.", "content": _json(_ref(_UNAUTHORIZED))},
        404: {"description": "No such thing.", "content": _json(_ref(ERROR))},
    }


def describe(app: FastAPI, declarations: Registry) -> None:
    """Have `app.openapi()` define what the operations on entities refer to."""
    plain = app.openapi

    def openapi() -> Json:
        document = plain()
        schemas: Json = document.setdefault("components", {}).setdefault("schemas", {})
        for entity in (item for item in declarations.entities.values() if item.spec.mounted):
            schemas.update(entity_components(entity))
        for name, config in declarations.plugins.items():
            schemas.update(plugin_components(name, config))
        schemas.update({ERROR: _ERROR_SCHEMA, _UNAUTHORIZED: _UNAUTHORIZED_SCHEMA})
        return document

    app.openapi = openapi


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _page(title: str) -> Json:
    nothing: Json = {"type": ["string", "null"]}
    return {
        "type": "object",
        "required": ["data", "next", "offset"],
        "properties": {
            "data": {"type": "array", "items": _ref(title)},
            "next": {**nothing, "description": "Path of the next page; null on the last one."},
            "offset": {**nothing, "description": "Cursor of the next page; null on the last one."},
        },
    }


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
