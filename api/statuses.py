"""Errors below `core-entities`: gRPC statuses written as JSON.

Source: google.rpc.Status and its codes (google/rpc/code.proto); which case has which code: koko internal/server/util.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from core import errors

_PATH: Final = re.compile(r"/v2/control-planes/[^/]+/core-entities(/|$)")
_DETAIL: Final = "type.googleapis.com/kong.admin.model.v1.ErrorDetail"

_CODES: Final = {400: 3, 403: 7, 404: 5, 405: 12, 409: 6, 412: 9, 413: 8, 415: 3, 429: 8, 500: 13, 503: 14}


def applies_to(path: str) -> bool:
    """Whether errors on this path have this form."""
    return _PATH.match(path) is not None


def code_of(status: int) -> int:
    """The gRPC code that stands for an HTTP status."""
    return _CODES.get(status, 2)


def status_response(
    status: int,
    message: str,
    details: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A gRPC status as an HTTP answer."""
    content = {"code": code_of(status), "message": message, "details": [dict(item) for item in details]}
    return JSONResponse(content, status, headers)


def field_detail(field: str, messages: Sequence[str]) -> dict[str, Any]:
    """One field that breaks its schema."""
    return {"@type": _DETAIL, "type": "ERROR_TYPE_FIELD", "field": field, "messages": list(messages)}


def entity_detail(messages: Sequence[str]) -> dict[str, Any]:
    """A rule across fields that is broken."""
    return {"@type": _DETAIL, "type": "ERROR_TYPE_ENTITY", "messages": list(messages)}


def reference_detail(field: str, message: str) -> dict[str, Any]:
    """A unique key that is in use, or a reference to nothing."""
    return {"@type": _DETAIL, "type": "ERROR_TYPE_REFERENCE", "field": field, "messages": [message]}


def render(error: errors.DomainError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for a domain error."""
    if isinstance(error, errors.Unauthenticated):
        return JSONResponse({"message": "Unauthorized", "status": 401}, 401, headers)
    if isinstance(error, errors.NotFound):
        return status_response(404, "Not found", headers=headers)
    if isinstance(error, errors.InvalidInput):
        by_field: dict[str, list[str]] = {}
        for violation in error.violations:
            by_field.setdefault(violation.field, []).append(violation.reason)
        details = [field_detail(field, messages) for field, messages in sorted(by_field.items())]
        return status_response(400, "validation error", details, headers)
    return status_response(status, error.message, headers=headers)
