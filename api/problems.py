"""Errors on the wire. The only place that knows which error is which HTTP status.

Three forms, as Konnect's clients decode them: problem details (RFC 9457, `application/problem+json`) everywhere, except
below `core-entities`, where errors are gRPC statuses in JSON (api/statuses.py), and the oldest interfaces, where they are a
message (api/messages.py).
Source: RFC 9457; the error components of the published Konnect API documents.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from api import core_entity_errors, messages, statuses
from api.violations import from_pydantic
from core import errors
from core.crud.errors import EntityError
from core.logging import get_logger

log = get_logger("api.problems")

# Class → status. The closest ancestor counts; a test demands that every DomainError has an entry of its own.
STATUS: Final[dict[type[errors.DomainError], int]] = {
    errors.InvalidInput: 400,
    errors.LimitReached: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NameTaken: 409,
    errors.Conflict: 409,
    errors.Unavailable: 503,
    **core_entity_errors.STATUS,
}

TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_MINIMUM_RULES: Final = frozenset(
    {"min_length", "min_digits", "min_lowercase", "min_uppercase", "min_symbols", "min_items", "min"}
)
_MAXIMUM_RULES: Final = frozenset({"max_length", "max_items", "max"})


# The framework gives up on these bodies without saying why.
_UNREADABLE: Final = errors.InvalidInput.of(
    "body", "is not valid JSON: it is not UTF-8, is nested too deeply or has a number out of range"
)


def status_of(error: errors.DomainError) -> int:
    """The HTTP status of a domain error."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    invalid_parameters: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document. A 400 always has at least one invalid parameter: clients refuse to decode it otherwise."""
    content: dict[str, Any] = {
        "status": status,
        "title": TITLES.get(status, "Error"),
        "type": f"https://httpstatuses.com/{status}",
        "instance": f"konnect:trace:{request.scope.get('state', {}).get('trace', 0)}",
        "detail": detail,
    }
    if status == 400:
        fallback = {"field": "body", "reason": detail, "rule": "invalid", "source": None}
        content["invalid_parameters"] = list(invalid_parameters) or [fallback]
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def invalid_parameter(violation: errors.Violation) -> dict[str, Any]:
    """A violation as an item of `invalid_parameters`, with the member that its rule's family needs."""
    item: dict[str, Any] = {"field": violation.field, "reason": violation.reason, "rule": violation.rule}
    item["source"] = violation.source
    if violation.rule in _MINIMUM_RULES:
        item["minimum"] = violation.bound
    elif violation.rule in _MAXIMUM_RULES:
        item["maximum"] = violation.bound
    elif violation.rule == "enum":
        item["choices"] = list(violation.choices or ())
    elif violation.rule == "dependent_fields":
        item["dependents"] = list(violation.dependents or ())
    return item


def render(request: Request, error: errors.DomainError) -> Response:
    """The answer for a domain error, in the form of the path it happened on."""
    status = status_of(error)
    form = _form(request)
    if isinstance(error, EntityError) and form is statuses:
        return core_entity_errors.render(error)
    headers = {"Retry-After": str(error.retry_after_seconds)} if isinstance(error, errors.Unavailable) else None
    if status >= 500 or isinstance(error, errors.Unauthenticated):
        log.info("request.refused", code=error.code, **error.context)
    if form is not None:
        return form.render(error, status, headers)
    invalid: list[dict[str, Any]] = []
    if isinstance(error, errors.InvalidInput):
        invalid = [invalid_parameter(violation) for violation in error.violations]
    elif isinstance(error, errors.LimitReached):
        limit = errors.Violation("object", "usage limits reached", rule=None, source=None)
        invalid = [invalid_parameter(limit)]
    return problem(request, status, error.message, invalid_parameters=invalid, headers=headers)


def _form(request: Request) -> ModuleType | None:
    """The form of errors where it is not problem details."""
    method, path = request.method, request.url.path
    if messages.applies_to(method, path):
        return messages
    return statuses if statuses.applies_to(path) and not messages.is_plugin_schema_list(method, path) else None


def internal_error(request: Request) -> Response:
    """The answer for a bug of ours: nothing of it is shown, the trace number finds it in the log."""
    form = _form(request)
    if form is statuses:
        return statuses.status_response(500, "An internal error occurred")
    if form is messages:
        return messages.message_response(500, "An internal error occurred")
    return problem(request, 500, "An internal error occurred")


def http_error(request: Request, error: HTTPException) -> Response:
    """Errors of the framework: no such path, wrong method, body too large or not readable."""
    if error.status_code == 400:
        return render(request, _UNREADABLE)
    detail = {404: "Not found", 405: "Method not allowed"}.get(error.status_code, error.detail)
    form = _form(request)
    if form is statuses:
        return statuses.status_response(error.status_code, detail, headers=error.headers)
    if form is messages:
        return messages.message_response(error.status_code, detail, error.headers)
    return problem(request, error.status_code, detail, headers=error.headers)


def _methods(request: Request) -> list[str]:
    """What can be done with the path of a request. Source: RFC 9110, section 10.2.1."""
    found: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE and isinstance(route, Route):
            found |= route.methods or set()
    if statuses.applies_to(request.url.path):
        found |= {"OPTIONS"} | ({"HEAD"} if "GET" in found else set())
    return sorted(found)


def install(app: FastAPI) -> None:
    """Have every error of `app` rendered here."""

    async def on_domain_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.DomainError)
        return render(request, error)

    async def on_invalid_request(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        media_type = request.headers.get("content-type", "application/json")
        if "json" not in media_type.lower() and any(finding["loc"] == ("body",) for finding in error.errors()):
            detail = "The body must be JSON: send it with Content-Type: application/json"
            return http_error(request, HTTPException(415, detail))
        return render(request, from_pydantic(error.errors()))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            # The framework names the methods of the first operation on the path only.
            error.headers = {"Allow": ", ".join(_methods(request))}
            if request.method == "OPTIONS" and statuses.applies_to(request.url.path):
                return Response(status_code=204, headers=error.headers)
        return http_error(request, error)

    async def on_database_gone(request: Request, error: Exception) -> Response:
        log.error("database.unreachable", error=str(error))
        return render(request, errors.Unavailable())

    app.add_exception_handler(errors.DomainError, on_domain_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(OperationalError, on_database_gone)
