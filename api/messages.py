"""Errors of the oldest interfaces: JSON with a `message` and nothing else.

Source: the published API of pinned client certificates; decK reads `message` of the list of runtime groups.
"""

import re
from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response

from core import errors

_PATHS: Final = re.compile(r"/v2/control-planes/[^/]+/dp-client-certificates(/|$)|/konnect-api/")


def applies_to(path: str) -> bool:
    """Whether errors on this path have this form."""
    return _PATHS.match(path) is not None


def message_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """A message as an HTTP answer."""
    return JSONResponse({"message": message}, status, headers)


def render(error: errors.DomainError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for a domain error."""
    if isinstance(error, errors.Unauthenticated):
        return message_response(401, "Unauthorized", headers)
    if isinstance(error, errors.InvalidInput):
        found = (f"{violation.field}: {violation.reason}" for violation in error.violations)
        return message_response(400, "; ".join(found), headers)
    return message_response(status, error.message, headers)
