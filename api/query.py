"""Query strings of hand-written lists: `page[size]`, `page[after]`, `filter[name][contains]`, `labels`, `sort`.

Brackets may come literally or percent-encoded; an empty value is as good as none.
Source: OpenAPI style deepObject; the list parameters of the published Konnect API documents.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from core.errors import InvalidInput, Violation
from core.listing import Filter, LabelCondition, Listing, Operator, Sort

DEFAULT_SIZE: Final = 10
MAX_SIZE: Final = 1000
CURSOR_SIZE: Final = 100
"""Items per page of lists that go on by cursor."""
_MAX_NUMBER: Final = 1_000_000
_FILTER: Final = re.compile(r"filter\[([^\[\]]+)\](?:\[([^\[\]]*)\])?")


@dataclass(frozen=True, slots=True)
class Filterable:
    """A field that a list can be filtered by: which operators, and how its text becomes a value."""

    operators: frozenset[Operator]
    parse: Callable[[str], Any] = str
    rule: str = "is_string"


def uuid_filter(*operators: Operator) -> Filterable:
    """A field that holds UUIDs."""
    return Filterable(frozenset(operators), UUID, "is_uuid")


def text_filter(*operators: Operator, parse: Callable[[str], str] = str) -> Filterable:
    """A field that holds text; `parse` brings it into the form that is stored."""
    return Filterable(frozenset(operators), parse)


def boolean_filter() -> Filterable:
    """A field that is true or false."""
    return Filterable(frozenset({Operator.EQ}), _boolean, "is_boolean")


def listing(query: QueryParams, filterable: Mapping[str, Filterable], sortable: frozenset[str]) -> Listing:
    """What part of a list the query asks for. Raises InvalidInput for anything that it names and the list lacks."""
    for name, value in query.multi_items():
        if "\0" in name + value:
            raise InvalidInput.of(name.replace("\0", ""), "must not contain NUL", rule="matches_regex", source="query")
    return Listing(
        number=integer(query, "page[number]", 1, _MAX_NUMBER),
        size=integer(query, "page[size]", DEFAULT_SIZE, MAX_SIZE),
        filters=tuple(
            _filter(name, value, filterable)
            for name, value in query.multi_items()
            if name == "filter" or name.startswith("filter[")
        ),
        labels=_labels(query.get("labels", "")),
        sort=_sort(query.get("sort", ""), sortable),
    )


@dataclass(frozen=True, slots=True)
class CursorListing:
    """A part of a list that goes on by cursor: how many items, after which one ("" for the first)."""

    size: int
    after: str


def cursor_listing(query: QueryParams) -> CursorListing:
    """What part of such a list the query asks for. Raises InvalidInput."""
    text = query.get("page[after]", "")
    try:
        after = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    return CursorListing(integer(query, "page[size]", CURSOR_SIZE, MAX_SIZE), after)


def bad_cursor() -> InvalidInput:
    """The refusal of a cursor that this list never gave."""
    return InvalidInput.of("page[after]", "is not a cursor of this list", source="query")


def next_page(path: str, query: QueryParams, after: str) -> str:
    """The address of the part that follows."""
    kept = [(name, value) for name, value in query.multi_items() if name != "page[after]"]
    return f"{path}?{urlencode([*kept, ('page[after]', cursor(after))], safe='[]')}"


def cursor(after: str) -> str:
    """The cursor of the part that follows."""
    return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


def cursor_parameters() -> list[dict[str, Any]]:
    """What `cursor_listing` understands, for the OpenAPI document."""
    size = {"type": "integer", "minimum": 1, "maximum": MAX_SIZE, "default": CURSOR_SIZE}
    return [
        _parameter("page[size]", "Items per page.", size),
        _parameter("page[after]", "The cursor of the page before, from its `next`.", {"type": "string"}),
    ]


def list_parameters(
    filterable: Mapping[str, Filterable], sortable: frozenset[str], *, labels: bool = False
) -> list[dict[str, Any]]:
    """What `listing` understands, for the OpenAPI document."""
    filters = {
        name: {
            "type": "object",
            "additionalProperties": False,
            "properties": {str(operator): {"type": "string"} for operator in sorted(target.operators)},
        }
        for name, target in filterable.items()
    }
    integer = {"type": "integer", "minimum": 1}
    found = [
        _parameter("page[size]", "Items per page.", {**integer, "maximum": MAX_SIZE, "default": DEFAULT_SIZE}),
        _parameter("page[number]", "The page, from 1.", {**integer, "default": 1}),
    ]
    if filters:
        schema = {"type": "object", "additionalProperties": False, "properties": filters}
        found.append({**_parameter("filter", "Only items that meet these.", schema), "style": "deepObject"})
    if labels:
        found.append(_parameter("labels", "Only items with all of `key:value,key`.", {"type": "string"}))
    if sortable:
        fields = ", ".join(sorted(sortable))
        found.append(_parameter("sort", f"One or more of {fields}, each with `asc` or `desc`.", {"type": "string"}))
    return found


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def integer(query: QueryParams, name: str, default: int, maximum: int) -> int:
    """A number from 1 in the query. Raises InvalidInput."""
    text = query.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidInput.of(name, "must be an integer", rule="is_integer", source="query")
    value = int(text)
    if value < 1:
        raise InvalidInput([Violation(name, "must be at least 1", "min", "query", bound=1)])
    if value > maximum:
        raise InvalidInput([Violation(name, f"must be at most {maximum}", "max", "query", bound=maximum)])
    return value


def _filter(name: str, text: str, filterable: Mapping[str, Filterable]) -> Filter:
    parts = _FILTER.fullmatch(name)
    field = parts.group(1) if parts else ""
    target = filterable.get(field)
    if parts is None or target is None:
        raise InvalidInput.of(name, "is not a field that can be filtered by", rule="unknown_property", source="query")
    # filter[x]=v is the short form of filter[x][eq]=v.
    operator = parts.group(2) or "eq"
    if operator not in target.operators:
        known = ", ".join(sorted(target.operators))
        raise InvalidInput.of(name, f"supports the operators {known}", rule="unknown_property", source="query")
    texts = text.split(",") if operator == Operator.OEQ else [text]
    try:
        values = tuple(target.parse(part) for part in texts)
    except ValueError:
        raise InvalidInput.of(name, "has a value of the wrong type", rule=target.rule, source="query") from None
    return Filter(field, Operator(operator), values)


def _labels(text: str) -> tuple[LabelCondition, ...]:
    conditions: list[LabelCondition] = []
    for part in text.split(","):
        key, colon, value = part.strip().partition(":")
        if key:
            conditions.append(LabelCondition(key, value if colon else None))
    return tuple(conditions)


def _sort(text: str, sortable: frozenset[str]) -> tuple[Sort, ...]:
    result: list[Sort] = []
    for part in text.split(","):
        words = part.split()
        if not words:
            continue
        direction = words[1].lower() if len(words) == 2 else "asc"
        if len(words) > 2 or words[0] not in sortable or direction not in ("asc", "desc"):
            known = ", ".join(sorted(sortable))
            reason = f"supports {known}, each with asc or desc" if known else "is not supported here"
            raise InvalidInput.of("sort", reason, source="query")
        result.append(Sort(words[0], direction == "desc"))
    return tuple(result)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"
