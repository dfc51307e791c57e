"""What guides for a self-managed gateway ask its Admin API beyond entities, for one control plane.

Source: the shapes of Kong Gateway's Admin API. What only a node of a cluster could tell (connections, memory, timers) is
left out.
"""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Request
from starlette.responses import JSONResponse, Response

from api import entity_documents as documents
from api.deps import TenantDb, token_router
from api.entities import PREFIX, control_plane_id_of
from core.crud import paging
from core.crud.overview import Overview, Tagged
from schema.entities.plugin import Plugin
from schema.registry import registry
from schema.version import GATEWAY_VERSION, VERSION

router = token_router(prefix=PREFIX, tag="core-entities")


def _record(**properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


_INFORMATION: Final = _record(
    tagline={"type": "string", "examples": ["Sluice, speaking the Admin API"]},
    product={"type": "string", "examples": ["sluice"]},
    version={"type": "string", "description": "The Gateway whose behaviour this is.", "examples": ["3.10.0.0"]},
    sluice_version={"type": "string", "description": "Of the program.", "examples": [VERSION]},
    edition={"type": "string", "examples": ["community"]},
    node_id={"type": "string", "format": "uuid", "description": "The control plane's id."},
    hostname={"type": "string", "description": "The control plane's name.", "examples": ["shop"]},
    plugins=_record(
        available_on_server={"type": "object", "additionalProperties": {"type": "object"}, "examples": [{"cors": {}}]},
        enabled_in_cluster={"type": "array", "items": {"type": "string"}, "examples": [["cors"]]},
    ),
    configuration={"type": "object", "additionalProperties": True, "examples": [{"role": "control_plane"}]},
)
_STATUS: Final = _record(
    database=_record(reachable={"type": "boolean"}),
    configuration_version={"type": "integer", "description": "Grows with every change.", "examples": [42]},
    entities={"type": "integer", "description": "How many there are, of all kinds.", "examples": [7]},
)
_PLUGINS: Final = _record(enabled_plugins={"type": "array", "items": {"type": "string"}, "examples": [["acl", "cors"]]})
_PATHS: Final = _record(
    data={"type": "array", "items": {"type": "string"}, "examples": [["/routes", "/routes/{RouteId}"]]}
)
_TAGS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["data", "next", "offset"],
    "properties": {
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "entity_name": {
                        "type": "string",
                        "description": "Kind of the entity, in plural.",
                        "examples": ["services"],
                    },
                    "entity_id": {"type": "string", "format": "uuid"},
                    "tag": {"type": "string", "examples": ["team-a"]},
                },
            },
        },
        "next": {"type": ["string", "null"], "description": "Path of the next page; null on the last one."},
        "offset": {"type": ["string", "null"], "description": "Cursor of the next page; null on the last one."},
    },
}


# Async although nothing is awaited: a sync dependency would cost a trip to the thread pool.
async def _overview(request: Request, session: TenantDb) -> Overview:
    return Overview(session, control_plane_id_of(request))


OverviewDep = Annotated[Overview, Depends(_overview)]


def _about(
    schema: dict[str, Any], *extra: dict[str, Any], variables: tuple[tuple[str, str], ...] = ()
) -> dict[str, Any]:
    return {
        "response_class": JSONResponse,
        "responses": documents.responses(Plugin, 200, schema=schema, what="What was asked for."),
        "openapi_extra": {"parameters": [*documents.path_parameters(*variables), *extra]},
    }


@router.get("", operation_id="get-gateway-information", **_about(_INFORMATION))
@router.get("/", operation_id="get-gateway-root", **_about(_INFORMATION))
def get_information(overview: OverviewDep) -> Response:
    """Look at what serves a control plane. Versions, plugins there are and plugins in use."""
    control_plane = overview.control_plane()
    return JSONResponse(
        {
            "tagline": "Sluice, speaking the Admin API",
            "product": "sluice",
            # What tools compare: the Gateway whose configuration this takes. The program's own version is beside it.
            "version": GATEWAY_VERSION,
            "sluice_version": VERSION,
            "edition": "community",
            "node_id": str(control_plane.id),
            "hostname": control_plane.name,
            "plugins": {
                "available_on_server": {
                    name: {"version": VERSION, "priority": config.spec.priority}
                    for name, config in registry().plugins.items()
                },
                "enabled_in_cluster": list(overview.values(Plugin, "name")),
            },
            "configuration": {
                "database": "postgres",
                "role": "control_plane",
                "router_flavor": "traditional_compatible",
                "loaded_plugins": dict.fromkeys(registry().plugins, True),
            },
        }
    )


@router.get("/status", operation_id="get-gateway-status", **_about(_STATUS))
def get_status(overview: OverviewDep) -> Response:
    """See that a control plane can be reached. With the version of its configuration."""
    control_plane = overview.control_plane()
    return JSONResponse(
        {
            "database": {"reachable": True},
            "configuration_version": control_plane.config_version,
            "entities": control_plane.entity_count,
        }
    )


@router.get("/plugins/enabled", operation_id="list-enabled-plugins", **_about(_PLUGINS))
def list_enabled_plugins(overview: OverviewDep) -> Response:
    """List the plugins that can be used. By name."""
    overview.control_plane()
    return JSONResponse({"enabled_plugins": list(registry().plugins)})


@router.get("/endpoints", operation_id="list-endpoints", **_about(_PATHS))
def list_endpoints(request: Request, overview: OverviewDep) -> Response:
    """List the paths that there are. Below the control plane's own."""
    overview.control_plane()
    paths = {path.removeprefix(PREFIX) or "/" for path in _paths(request) if path.startswith(PREFIX)}
    return JSONResponse({"data": sorted(paths)})


def _paths(request: Request) -> set[str]:
    return {route.path for route in request.app.routes if hasattr(route, "path")}


@router.get("/tags", operation_id="list-tags", **_about(_TAGS, *documents.page_parameters(tags=False)))
def list_tags(request: Request, overview: OverviewDep) -> Response:
    """Page through all tags. One line for each tag of each entity."""
    return _page(request, overview, None)


@router.get(
    "/tags/{tag}",
    operation_id="list-tagged-entities",
    **_about(_TAGS, *documents.page_parameters(tags=False), variables=(("tag", "tag"),)),
)
def list_tagged(request: Request, overview: OverviewDep) -> Response:
    """Page through the entities that have a tag. By kind and id."""
    return _page(request, overview, request.path_params["tag"])


def _page(request: Request, overview: Overview, tag: str | None) -> Response:
    given = [(name, value) for name, value in request.query_params.multi_items() if name in {"size", "offset"}]
    found, offset = overview.tags(paging.parse_query((), given), tag)
    following: str | None = None
    if offset is not None:
        kept = [(name, value) for name, value in given if name != "offset"]
        following = f"{request.url.path}?{urlencode([*kept, ('offset', offset)])}"
    return JSONResponse({"data": [_line(item) for item in found], "next": following, "offset": offset})


def _line(item: Tagged) -> dict[str, str]:
    return {"entity_name": item.plural, "entity_id": str(item.id), "tag": item.tag}
