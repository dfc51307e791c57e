"""What request and response bodies have in common."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer


def _milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# RFC 3339 in UTC with milliseconds, as Konnect writes it.
Instant = Annotated[datetime, PlainSerializer(_milliseconds, return_type=str, when_used="json")]
# RFC 3339 from a client; must say its offset.
InstantInput = Annotated[AwareDatetime, Field(strict=False)]


class RequestBody(BaseModel):
    """A JSON object from a client: no unknown members, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


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
