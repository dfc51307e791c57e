"""What request and response bodies have in common."""

from datetime import UTC, datetime
from typing import Annotated, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, field_validator
from pydantic_core import PydanticCustomError


def _milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# RFC 3339 in UTC with milliseconds, as Konnect writes it.
Instant = Annotated[datetime, PlainSerializer(_milliseconds, return_type=str, when_used="json")]
# RFC 3339 from a client; must say its offset.
InstantInput = Annotated[AwareDatetime, Field(strict=False)]


def is_storable(value: object) -> bool:
    """Whether PostgreSQL can hold all text of a JSON value: it has no NUL and is Unicode that can be encoded."""
    if isinstance(value, str):
        return "\0" not in value and (value.isascii() or _is_encodable(value))
    if isinstance(value, dict):
        return all(is_storable(part) for item in cast("dict[object, object]", value).items() for part in item)
    if isinstance(value, list):
        return all(is_storable(part) for part in cast("list[object]", value))
    return True


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class RequestBody(BaseModel):
    """A JSON object from a client: no unknown members, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _storable(cls, value: object) -> object:
        if not is_storable(value):
            reason = "must not contain NUL or unpaired surrogates"
            raise PydanticCustomError("violation", "{reason}", {"rule": "matches_regex", "reason": reason})
        return value


class ResponseBody(BaseModel):
    """A JSON object for a client, built from a row or by name."""

    model_config = ConfigDict(from_attributes=True)


class PageMeta(BaseModel):
    """Which part of a list this is."""

    number: int = Field(description="The page, from 1.")
    size: int = Field(description="Items per page, as asked for.")
    total: int = Field(description="Items in the whole list.")


class PaginatedMeta(BaseModel):
    """Paging of lists with numbered pages."""

    page: PageMeta
