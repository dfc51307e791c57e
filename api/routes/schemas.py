"""What may be written, told to clients: schemas of entities, plugins and the like, and whether a body would be taken.

Nothing here knows a kind by name. Whoever fills in defaults from these schemas gets what the control plane fills in, for both
come from one declaration.

Source: the paths and forms that decK, go-kong and the Terraform provider ask for.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from fastapi import Request
from starlette.responses import JSONResponse, Response

from api import entity_documents as documents
from api.bodies import Body
from api.core_entity_errors import invalid
from api.deps import token_router
from api.entities import PREFIX, Store
from core.crud.errors import InvalidEntity
from core.errors import NotFound
from schema.base import Entity, Record
from schema.json_documents import entity_document
from schema.notation import config_notation, entity_notation
from schema.registry import Registry, registry

router = token_router(prefix=PREFIX, tag="core-entities")

_OBJECT: Final[dict[str, Any]] = {"type": "object", "additionalProperties": True}
_ANY_ENTITY: Final[dict[str, Any]] = {**_OBJECT, "examples": [{"name": "orders", "host": "orders.example.com"}]}
_NOTATION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["fields"],
    "properties": {
        "fields": {
            "type": "array",
            "items": _OBJECT,
            "description": "Objects with one member each: the field's name and what it may hold.",
        }
    },
}
_VALID: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string"}},
}


@router.get(
    "/v1/schemas/json/{entityType}",
    operation_id="fetch-core-entity-json-schema",
    response_class=JSONResponse,
    responses=documents.schema_responses(_OBJECT, "The schema."),
    openapi_extra={"parameters": documents.path_parameters(("entityType", "kind of entity, as `service`"))},
)
def fetch_json_schema(request: Request, store: Store) -> Response:
    """Look at a kind of entity as a JSON Schema. With the defaults that writing fills in."""
    store.require_control_plane()
    return _json(_json_schema(_by_singular(request.path_params["entityType"])))


@router.get(
    "/schemas/{entityName}",
    operation_id="fetch-entity-schema",
    response_class=JSONResponse,
    responses=documents.schema_responses(_NOTATION, "The schema."),
    openapi_extra={"parameters": documents.path_parameters(("entityName", "kind of entity, as `services`"))},
)
def fetch_entity_schema(request: Request, store: Store) -> Response:
    """Look at a kind of entity as a list of fields. With the defaults that writing fills in."""
    store.require_control_plane()
    return _json(_entity_schema(_by_plural(request.path_params["entityName"])))


@router.post(
    "/schemas/{entityName}/validate",
    operation_id="validate-entity-schema",
    response_class=JSONResponse,
    responses=documents.schema_responses(_VALID, "It would be taken."),
    openapi_extra={
        "parameters": documents.path_parameters(("entityName", "kind of entity, as `services`")),
        "requestBody": {"required": True, "description": "The entity.", "content": documents.readable(_ANY_ENTITY)},
    },
)
def validate_entity(request: Request, store: Store, body: Body) -> Response:
    """Find out whether an entity would be taken. As far as it alone tells: nothing is looked up, and nothing written."""
    store.require_control_plane()
    entity = _by_plural(request.path_params["entityName"])
    try:
        store.check(entity, body.document(entity))
    except InvalidEntity as error:
        return invalid(error, _told(error))
    return JSONResponse({"message": "schema validation successful"})


def _mount(entity: type[Entity], declarations: Registry) -> None:
    """The schema of each kind of configuration that an entity may have."""
    spec = entity.spec
    assert spec.config_by is not None
    variable = f"{spec.singular}{spec.config_by.capitalize()}"

    def fetch_schema(request: Request, store: Store) -> Response:
        store.require_control_plane()
        kind: str = request.path_params[variable]
        config = entity.config_of(kind, declarations)
        if config is not None:
            return _json(_config_schema(config))
        own = store.own_notation(entity, kind)
        if own is None:
            raise NotFound(f"{spec.singular} schema", kind)
        return JSONResponse(own)

    router.add_api_route(
        f"/schemas/{spec.plural}/{{{variable}}}",
        fetch_schema,
        methods=["GET"],
        operation_id=f"fetch-{spec.singular}-schema",
        response_class=JSONResponse,
        summary=f"Look at what a {spec.singular} may be configured with",
        description=f"Look at what a {spec.singular} may be configured with. With the defaults that writing fills in.",
        responses=documents.schema_responses(_NOTATION, "The schema."),
        openapi_extra={"parameters": documents.path_parameters((variable, f"{spec.singular}'s kind"))},
    )


for _entity in registry().entities.values():
    if _entity.spec.config_by is not None:
        _mount(_entity, registry())


def _by_plural(name: str) -> type[Entity]:
    return _known(name, lambda entity: entity.spec.plural)


def _by_singular(name: str) -> type[Entity]:
    return _known(name, lambda entity: entity.spec.singular)


def _known(name: str, name_of: Callable[[type[Entity]], str]) -> type[Entity]:
    """By name, in which clients write dashes and underscores as they like."""
    wanted = name.replace("-", "_")
    for entity in registry().entities.values():
        if entity.spec.mounted and name_of(entity).replace("-", "_") == wanted:
            return entity
    raise NotFound("schema", name)


def _told(error: InvalidEntity) -> str:
    """Everything that is wrong in one text, which is all that some clients show."""
    told = "; ".join(f"{found.field or '@entity'}: {found.message}" for found in error.violations)
    count = len(error.violations)
    return f"schema violation ({told})" if count == 1 else f"{count} schema violations ({told})"


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _rendered(make: Callable[[Any], dict[str, Any]], declaration: object) -> bytes:
    return json.dumps(make(declaration), ensure_ascii=False, separators=(",", ":")).encode()


@cache
def _json_schema(entity: type[Entity]) -> bytes:
    return _rendered(entity_document, entity)


@cache
def _entity_schema(entity: type[Entity]) -> bytes:
    return _rendered(entity_notation, entity)


@cache
def _config_schema(config: type[Record]) -> bytes:
    return _rendered(config_notation, config)
