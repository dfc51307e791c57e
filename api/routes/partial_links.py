"""Which plugins a partial is linked to."""

from typing import Any, Final

from fastapi import Request
from starlette.responses import JSONResponse, Response

from api import entity_documents as documents
from api.deps import token_router
from api.entities import PREFIX, Store, next_page
from core.crud import paging
from core.crud.store import Parent
from schema.entities.partial import Partial
from schema.entities.plugin import Plugin

_SHOWN: Final = ("id", "name", "instance_name")
_PAGE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["data", "count", "next", "offset"],
    "properties": {
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "name"],
                "properties": {
                    "id": {"type": "string", "format": "uuid", "description": "Id of the plugin."},
                    "name": {"type": "string", "description": "Which plugin.", "examples": ["rate-limiting"]},
                    "instance_name": {
                        "type": ["string", "null"],
                        "description": "Name of this use of it.",
                        "examples": ["orders-limit"],
                    },
                },
            },
        },
        "count": {"type": "integer", "description": "Plugins that are linked to it, on all pages."},
        "next": {"type": ["string", "null"], "description": "Path of the next page; null on the last one."},
        "offset": {"type": ["string", "null"], "description": "Cursor of the next page; null on the last one."},
    },
}

router = token_router(prefix=PREFIX, tag="core-entities")


@router.get(
    "/partials/{PartialId}/links",
    operation_id="list-partial-link",
    response_class=JSONResponse,
    responses=documents.responses(Plugin, 200, schema=_PAGE),
    openapi_extra={"parameters": documents.path_parameters(("PartialId", "partial")) + documents.page_parameters()},
)
def list_partial_links(request: Request, store: Store) -> Response:
    """Page through the plugins that are linked to one partial. Oldest first."""
    partial = store.read(Partial, request.path_params["PartialId"])
    parent = Parent("partials", partial["id"], "partials")
    page = store.list(Plugin, paging.parse_query((), request.query_params.multi_items()), parent)
    data = [{name: plugin[name] for name in _SHOWN} for plugin in page.data]
    count = store.count_naming(Plugin, parent)
    following = next_page(request, page.offset)
    return JSONResponse({"data": data, "count": count, "next": following, "offset": page.offset})
