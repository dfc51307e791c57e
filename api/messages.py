"""Errors of the oldest interfaces: JSON with a `message` and nothing else.

Source: the published APIs of pinned client certificates and of custom plugins' schemas, whose list has problem details
instead; decK reads `message` of the list of runtime groups.
"""

import re
from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response

from core import errors
from core.crud.errors import InvalidEntity, KeyTaken, UsageConstraint

_PATHS: Final = re.compile(r"/v2/control-planes/[^/]+/dp-client-certificates(/|$)|/konnect-api/")
_PLUGIN_SCHEMAS: Final = re.compile(r"/v2/control-planes/[^/]+/core-entities/plugin-schemas(/[^/]*)?")


def applies_to(method: str, path: str) -> bool:
    """Whether errors of requests with this method and path have this form."""
    below = _PLUGIN_SCHEMAS.fullmatch(path) is not None
    return (below and not is_plugin_schema_list(method, path)) or _PATHS.match(path) is not None


def is_plugin_schema_list(method: str, path: str) -> bool:
    """Whether a request is for the one list below core-entities whose errors are problem details."""
    found = _PLUGIN_SCHEMAS.fullmatch(path)
    return found is not None and found[1] is None and method == "GET"


def message_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """A message as an HTTP answer."""
    return JSONResponse({"message": message}, status, headers)


def render(error: errors.DomainError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for a domain error."""
    if isinstance(error, errors.Unauthenticated):
        return message_response(401, "Unauthorized", headers)
    return message_response(409 if isinstance(error, KeyTaken) else status, _message(error), headers)


def _message(error: errors.DomainError) -> str:
    if isinstance(error, errors.InvalidInput):
        return "; ".join(f"{item.field}: {item.reason}" for item in error.violations)
    if isinstance(error, InvalidEntity):
        return "; ".join(f"{item.field}: {item.message}" if item.field else item.message for item in error.violations)
    if isinstance(error, KeyTaken):
        values = ", ".join(f"{name} '{value}'" for name, value in error.key.items())
        return f"there is one with {values} already"
    return error.reason if isinstance(error, UsageConstraint) else error.message
