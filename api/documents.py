"""What request and response bodies have in common."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, cast

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schema.bounds import holds_more_than


def _milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# RFC 3339 in UTC with milliseconds, as Konnect writes it.
Instant = Annotated[datetime, PlainSerializer(_milliseconds, return_type=str, when_used="json")]
# The largest of them, a gateway configuration, comes to some 40,000.
_MOST_VALUES: Final = 50_000
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written_in_full(value: object) -> object:
    """Left alone, the parser takes numbers for seconds since 1970 and dates for midnight."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        reason = "must be a date and time with its offset from UTC, as in RFC 3339"
        raise PydanticCustomError("violation", "{reason}", {"rule": "is_date_time", "reason": reason})
    return value


# RFC 3339 from a client; must say its offset.
InstantInput = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_written_in_full)]


def is_storable(value: object) -> bool:
    """Whether PostgreSQL can hold all text of a JSON value: it has no NUL and is Unicode that can be encoded."""
    waiting = [value]  # not by recursion: how deep it goes is the client's choice
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            if "\0" in part or not (part.isascii() or _is_encodable(part)):
                return False
        elif isinstance(part, dict):
            members = cast("dict[object, object]", part)
            waiting += members.keys()
            waiting += members.values()
        elif isinstance(part, list):
            waiting += cast("list[object]", part)
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

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, value: object) -> object:
        if holds_more_than(_MOST_VALUES, value):
            reason = f"must not hold more than {_MOST_VALUES} values"
            raise PydanticCustomError("violation", "{reason}", {"rule": "invalid", "reason": reason})
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _storable(cls, value: object) -> object:
        if not is_storable(value):
            reason = "must not contain NUL or unpaired surrogates"
            raise PydanticCustomError("violation", "{reason}", {"rule": "matches_regex", "reason": reason})
        return value


def example(**members: Any) -> ConfigDict:
    """For `model_config` of a body whose fields do not say by themselves what a good one looks like."""
    return ConfigDict(json_schema_extra={"examples": [members]})


class ResponseBody(BaseModel):
    """A JSON object for a client, built from a row or by name."""

    model_config = ConfigDict(from_attributes=True)


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970, as the older interfaces write moments."""
    return int(moment.timestamp())


class PageMeta(BaseModel):
    """Which part of a list this is."""

    number: int = Field(description="The page, from 1.")
    size: int = Field(description="Items per page, as asked for.")
    total: int = Field(description="Items in the whole list.")


class PaginatedMeta(BaseModel):
    """Paging of lists with numbered pages."""

    page: PageMeta


class CursorPage(BaseModel):
    """Which part of a list this is."""

    next: str | None = Field(description="Path of the part that follows; null on the last one.")
    size: int = Field(description="Items per page, as asked for.")
    total: int = Field(description="Items in the whole list.")


class CursorMeta(BaseModel):
    """Paging of lists that go on by cursor."""

    page: CursorPage
