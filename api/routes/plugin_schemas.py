"""Schemas of custom plugins, written as Lua and named by what they say themselves.

Errors have a form of their own here, `{"message"}`, but for the list, whose errors are problem details.
Source: the published Konnect API document of control planes' configuration.
"""

from typing import Any, Final

from fastapi import Request
from starlette.responses import JSONResponse, Response

from api import entity_documents as documents
from api.bodies import Body
from api.deps import token_router
from api.entities import PREFIX, Store
from api.query import cursor, cursor_listing, cursor_parameters
from core.crud.errors import InvalidEntity
from core.crud.paging import ListQuery
from core.crud.store import EntityStore
from core.errors import NotFound
from schema.base import Document
from schema.entities.plugin_schema import PluginSchema
from schema.errors import Violation

_NAME: Final = ("name", "plugin schema")
_SHOWN: Final = ("name", "lua_schema", "created_at", "updated_at")
_ITEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": list(_SHOWN),
    "properties": {
        "name": {
            "type": "string",
            "description": "Name of the plugin, as the schema says it.",
            "examples": ["greeting"],
        },
        "lua_schema": {"type": "string", "description": "The schema, as Lua text."},
        "created_at": {"type": "integer", "description": "Creation time in seconds since 1970."},
        "updated_at": {"type": "integer", "description": "Time of the last change in seconds since 1970."},
    },
}
_ITEM_ANSWER: Final[dict[str, Any]] = {"type": "object", "required": ["item"], "properties": {"item": _ITEM}}
_LIST_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["items", "page"],
    "properties": {
        "items": {"type": "array", "items": _ITEM},
        "page": {
            "type": "object",
            "required": ["total_count", "next"],
            "properties": {
                "total_count": {"type": "integer", "description": "Schemas on all pages."},
                "next": {"type": ["string", "null"], "description": "Cursor of the next page; null on the last one."},
            },
        },
    },
}
_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "The schema.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["lua_schema"],
                "properties": {"lua_schema": {"type": "string", "description": "The schema, as Lua text."}},
            }
        }
    },
}

router = token_router(prefix=PREFIX, tag="core-entities")


def _options(status: int, *path: tuple[str, str], item: bool = True, body: bool = False) -> dict[str, Any]:
    """What the operations have in common for the framework and for the OpenAPI document."""
    schema = _ITEM_ANSWER if item else _LIST_ANSWER
    responses: dict[int | str, Any] = {status: {"description": "Done."}}
    if status != 204:
        responses[status]["content"] = {"application/json": {"schema": schema}}
    form = documents.PROBLEM if not item else documents.MESSAGE
    for code, meaning in (
        (400, "The request cannot be fulfilled as it stands."),
        (401, "No valid token."),
        (404, "No such thing."),
    ):
        responses[code] = {"description": meaning, "content": form}
    extra: dict[str, Any] = {"parameters": documents.path_parameters(*path) + ([] if item else cursor_parameters())}
    if body:
        extra["requestBody"] = _BODY
    return {
        "status_code": status,
        "response_class": Response if status == 204 else JSONResponse,
        "responses": responses,
        "openapi_extra": extra,
    }


def _shown(document: Document) -> Document:
    return {name: document[name] for name in _SHOWN}


def _named(store: EntityStore, name: str) -> Document:
    """The schema of this name; an id is none."""
    found = store.read(PluginSchema, name)
    if found["name"] != name:
        raise NotFound("plugin schema", name)
    return found


def _body(body: object) -> Document:
    """The body's one field; the name in it must not be the client's choice."""
    members: dict[Any, Any] = body if isinstance(body, dict) else {}
    unknown = [Violation(str(name), "unknown field") for name in members if name != "lua_schema"]
    if not isinstance(body, dict):
        unknown.append(Violation("", "expected a record"))
    if unknown:
        raise InvalidEntity(unknown)
    return {"lua_schema": members.get("lua_schema")}


@router.get("/plugin-schemas", operation_id="list-plugin-schemas", **_options(200, item=False))
def list_plugin_schemas(request: Request, store: Store) -> Response:
    """Page through the schemas of custom plugins. Oldest first."""
    part = cursor_listing(request.query_params)
    page = store.list(PluginSchema, ListQuery(size=part.size, offset=part.after or None))
    total = store.count(PluginSchema)
    items = [_shown(document) for document in page.data]
    following = None if page.offset is None else cursor(page.offset)
    return JSONResponse({"items": items, "page": {"total_count": total, "next": following}})


@router.post("/plugin-schemas", operation_id="create-plugin-schemas", **_options(201, body=True))
def create_plugin_schema(store: Store, body: Body) -> Response:
    """Add the schema of a custom plugin; the plugin's name is read from it."""
    return JSONResponse({"item": _shown(store.create(PluginSchema, _body(body.document())))}, 201)


@router.get("/plugin-schemas/{name}", operation_id="get-plugin-schema", **_options(200, _NAME))
def get_plugin_schema(request: Request, store: Store) -> Response:
    """Look at the schema of one custom plugin."""
    return JSONResponse({"item": _shown(_named(store, request.path_params["name"]))})


@router.put("/plugin-schemas/{name}", operation_id="update-plugin-schemas", **_options(200, _NAME, body=True))
def update_plugin_schema(request: Request, store: Store, body: Body) -> Response:
    """Replace the schema of one custom plugin; it must say the same name."""
    name: str = request.path_params["name"]
    found = _named(store, name)
    written = store.replace(PluginSchema, found["id"], _body(body.document()))
    if written["name"] != name:
        raise InvalidEntity([Violation("lua_schema", f"the schema is of plugin '{written['name']}', not of '{name}'")])
    return JSONResponse({"item": _shown(written)})


@router.delete("/plugin-schemas/{name}", operation_id="delete-plugin-schemas", **_options(204, _NAME))
def delete_plugin_schema(request: Request, store: Store) -> Response:
    """Remove the schema of one custom plugin."""
    store.delete(PluginSchema, _named(store, request.path_params["name"])["id"])
    return Response(status_code=204)
