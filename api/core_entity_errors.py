"""The entity engine's refusals as gRPC statuses in JSON.

Source: the Konnect API as its clients read it: a duplicate and a missing reference are 400 here, not 409 and 404.
"""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from api import declarative_errors
from api.statuses import entity_detail, field_detail, reference_detail, status_response
from core.crud.errors import (
    EntityError,
    InvalidConfiguration,
    InvalidEntity,
    InvalidRequest,
    KeyTaken,
    ReferencedByOthers,
    ReferenceMissing,
    UsageConstraint,
)

STATUS: Final[Mapping[type[EntityError], int]] = {
    EntityError: 400,
    InvalidConfiguration: 400,
    InvalidEntity: 400,
    InvalidRequest: 400,
    KeyTaken: 400,
    ReferenceMissing: 400,
    ReferencedByOthers: 400,
    UsageConstraint: 403,
}


def render(error: EntityError) -> Response:
    """The answer for a refusal of the entity engine."""
    if isinstance(error, InvalidConfiguration):
        return JSONResponse(declarative_errors.render(error), STATUS[type(error)])
    return status_response(STATUS[type(error)], error.message, _details(error))


def invalid(error: InvalidEntity, message: str) -> Response:
    """The same for an invalid document, under a message of one's own."""
    return status_response(STATUS[InvalidEntity], message, _details(error))


def _details(error: EntityError) -> list[dict[str, Any]]:
    if isinstance(error, InvalidEntity):
        by_field: dict[str, list[str]] = {}
        for violation in error.violations:
            by_field.setdefault(violation.field, []).append(violation.message)
        about_all = by_field.pop("", None)
        details = [field_detail(field, messages) for field, messages in sorted(by_field.items())]
        return details if about_all is None else [entity_detail(about_all), *details]
    if isinstance(error, KeyTaken):
        given = {name: value for name, value in error.key.items() if value is not None}
        field = next(iter(given), "id")
        values = ", ".join(f"'{_shown(value)}'" for value in given.values())
        text = f"{'-'.join(given)} (type: unique) constraint failed for value {values}"
        return [reference_detail(field, text)]
    if isinstance(error, ReferenceMissing):
        return [
            reference_detail(
                item.field,
                f"{item.field} (type: foreign) constraint failed for value '{item.value}': "
                f"no such entity among {item.plural}",
            )
            for item in error.missing
        ]
    if isinstance(error, ReferencedByOthers):
        return [entity_detail([error.message])]
    if isinstance(error, UsageConstraint):
        return [entity_detail([error.reason])]
    return []


def _shown(value: Any) -> str:
    """References read as the id they name."""
    if isinstance(value, dict):
        members: dict[str, Any] = value
        return str(members.get("id"))
    return str(value)
