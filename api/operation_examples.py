"""Puts an example beside every schema of a request or a response in the OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api import entity_documents
from api.examples import Examples, of_entity
from api.problems import TITLES
from api.statuses import code_of, field_detail
from schema.registry import Registry

Json = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
_PLACE: Final = "#/components/examples/"
# How errors look that have no better reason.
_DETAILS: Final[Mapping[int, str]] = {
    400: "Invalid request",
    401: "Authentication is needed",
    404: "There is no such control plane",
    409: "The name is taken",
    413: "The body is larger than 8388608 bytes",
    415: "The body must be application/json",
}


def add(document: Json, declarations: Registry) -> None:
    """Give each media type of `document` an example: by reference where its schema is one, else in its place."""
    components: Json = document["components"]
    known: dict[str, Any] = {}
    for entity in declarations.entities.values():
        if entity.spec.mounted:
            known |= of_entity(entity, declarations)
    examples = Examples(components["schemas"], known)
    shared: Json = components.setdefault("examples", {})
    for status, content, written in _contents(document):
        for media_type in content.values():
            schema: Json = media_type["schema"]
            if media_type.keys() & {"example", "examples"}:
                continue
            name = schema.get("$ref", "").removeprefix(_SCHEMAS)
            error = None if status < 400 else _error(name, status)
            if not name:
                media_type["example"] = examples.of(schema, written=written)
                continue
            place = name if error is None else f"{name}{status}"
            if place not in shared:
                shared[place] = {"value": examples.of(schema, written=written) if error is None else error}
            media_type["examples"] = {"example": {"$ref": f"{_PLACE}{place}"}}


def _contents(document: Json) -> Iterator[tuple[int, Json, bool]]:
    """The status (0 for a request) and the media types of every body, and whether a client writes it."""
    paths: dict[str, dict[str, Json]] = document["paths"]
    for item in paths.values():
        for operation in item.values():
            yield 0, operation.get("requestBody", {}).get("content", {}), True
            for status, response in operation["responses"].items():
                yield int(status), response.get("content", {}), False


def _error(name: str, status: int) -> Json | None:
    if name == "Problem":
        return _problem(status)
    if name == "Message":
        return {"message": "Unauthorized" if status == 401 else _DETAILS[status]}
    if name == entity_documents.UNAUTHORIZED:
        return {"message": "Unauthorized", "status": status}
    if name == entity_documents.ERROR:
        wrong = [field_detail("host", ["required field missing"])] if status == 400 else []
        message = {400: "validation error", 403: "usage constraint error", 404: "Not found"}.get(status)
        return {"code": code_of(status), "message": message or _DETAILS[status], "details": wrong}
    return None


def _problem(status: int) -> Json:
    example: Json = {
        "status": status,
        "title": TITLES[status],
        "type": f"https://httpstatuses.com/{status}",
        "instance": "konnect:trace:2287285207635123011",
        "detail": _DETAILS[status],
    }
    if status == 400:
        example["invalid_parameters"] = [
            {"field": "name", "reason": "is a required field", "rule": "required", "source": "body"}
        ]
    return example
