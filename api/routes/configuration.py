"""The whole configuration of a control plane as a declarative file: out, and in again, all or nothing."""

from typing import Annotated, Any, Final, cast

import yaml
from fastapi import Depends, Request
from starlette.responses import JSONResponse, Response

from api import bodies, entity_documents, json_bodies, yaml_documents
from api.deps import Caller, ServicesDep, TenantDb, token_router
from api.entities import PREFIX, control_plane_id_of
from core.control_planes.configuration import Caps
from core.crud.errors import InvalidConfiguration, InvalidRequest
from core.crud.whole import WholeConfiguration
from schema.base import Document
from schema.bounds import holds_more_than
from schema.declarative import DeclarativeError, load
from schema.entities.plugin import Plugin

router = token_router(prefix=PREFIX, tag="core-entities")

FORMAT_VERSION: Final = "3.0"
YAML: Final = "application/yaml"
_YAML_TYPES: Final = frozenset({YAML, "application/x-yaml", "text/yaml", "text/x-yaml"})
_FILE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["_format_version"],
    "properties": {"_format_version": {"type": "string", "enum": ["1.1", "2.1", "3.0"]}},
    "additionalProperties": True,
    "examples": [{"_format_version": "3.0", "services": [{"name": "orders", "host": "orders.example.com"}]}],
}
_YAML_FILE: Final[dict[str, Any]] = {
    "type": "string",
    "examples": ['_format_version: "3.0"\nservices:\n- name: orders\n  host: orders.example.com\n'],
}


# Async although nothing is awaited: a sync dependency would cost a trip to the thread pool.
async def _whole(request: Request, session: TenantDb, services: ServicesDep, actor: Caller) -> WholeConfiguration:
    caps = Caps.of(services.settings)
    return WholeConfiguration(session, services.keyring, services.clock, actor, control_plane_id_of(request), caps=caps)


async def _raw(request: Request) -> bytes:
    return await request.body()


Whole = Annotated[WholeConfiguration, Depends(_whole)]
RawBody = Annotated[bytes, Depends(_raw)]


@router.get(
    "/config",
    operation_id="export-configuration",
    response_class=JSONResponse,
    responses=entity_documents.responses(Plugin, 200, schema=_FILE, what="The file."),
    openapi_extra={"parameters": entity_documents.path_parameters()},
)
def export_configuration(request: Request, whole: Whole) -> Response:
    """Take out everything as a declarative file. As YAML for `Accept: application/yaml`, else as JSON."""
    document = {"_format_version": FORMAT_VERSION, **whole.entities()}
    accepted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    if accepted & _YAML_TYPES:
        text = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
        return Response(text, media_type=YAML)
    return JSONResponse(document)


@router.post(
    "/config",
    operation_id="import-configuration",
    status_code=201,
    response_class=JSONResponse,
    responses=entity_documents.responses(Plugin, 201, schema=_FILE, what="The configuration as it is now."),
    openapi_extra={
        "parameters": [
            *entity_documents.path_parameters(),
            entity_documents.flag("flatten_errors", "`1`: errors also as a list, entity by entity."),
            entity_documents.flag("check_hash", "`1`: 304 where nothing would change."),
        ],
        "requestBody": {
            "required": True,
            "description": "The file.",
            "content": {**entity_documents.readable(_FILE), YAML: {"schema": _YAML_FILE}},
        },
    },
)
def import_configuration(request: Request, whole: Whole, raw: RawBody) -> Response:
    """Replace everything by a declarative file. All of it or, where anything is wrong, nothing; as one version.

    The file is the body as JSON or YAML, or its field `config`. What the file leaves out is deleted.
    """
    hosted = whole.require().hosted
    try:
        changed = whole.replace(load(_file(raw, request.headers.get("content-type", "")), hosted=hosted))
    except InvalidConfiguration as error:
        flatten = request.query_params.get("flatten_errors") in {"1", "true"}
        raise InvalidConfiguration(error.errors, flatten=flatten) from None
    if not changed and request.query_params.get("check_hash") in {"1", "true"}:
        return Response(status_code=304)
    return JSONResponse({"_format_version": FORMAT_VERSION, **whole.entities()}, 201)


def _file(raw: bytes, content_type: str) -> Document:
    """The parsed file, which is an object and names its format: an empty one would delete everything."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _YAML_TYPES:
        value = _parsed(raw)
    else:
        value = bodies.read(raw, content_type).document()
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            if members.keys() == {"config"} and isinstance(members["config"], str):
                value = _parsed(members["config"].encode())
    if holds_more_than(yaml_documents.MOST_VALUES, value):
        raise InvalidRequest(f"the configuration has more than {yaml_documents.MOST_VALUES} values")
    if not isinstance(value, dict):
        raise InvalidConfiguration([DeclarativeError("", "", "expected a record")])
    file = cast("Document", value)
    if file.get("_format_version") is None:
        raise InvalidConfiguration([DeclarativeError("", "_format_version", "required field missing")])
    return file


def _parsed(raw: bytes) -> object:
    """JSON if it looks like it (a hundred times faster), else YAML."""
    if raw.lstrip()[:1] == b"{":
        try:
            return json_bodies.parse(raw)
        except InvalidRequest:
            pass  # a YAML map in braces
    try:
        return yaml_documents.parse(raw.decode())
    except UnicodeError:
        raise InvalidRequest("the configuration is not valid UTF-8") from None
    except yaml_documents.YamlError as error:
        raise InvalidConfiguration([DeclarativeError("", "", str(error))]) from None
