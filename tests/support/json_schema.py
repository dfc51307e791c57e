"""Holds JSON values against the schemas of our OpenAPI documents (JSON Schema 2020-12, the part that they use).

A keyword that is not known here is an error of the test, never a rule that is passed over.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

Json = Any

_TYPES: Mapping[str, Callable[[Json], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
_BOUNDS: Mapping[str, Callable[[Json, Json], bool]] = {
    "minimum": lambda value, bound: not _TYPES["number"](value) or value >= bound,
    "maximum": lambda value, bound: not _TYPES["number"](value) or value <= bound,
    "minLength": lambda value, bound: not isinstance(value, str) or len(value) >= bound,
    "maxLength": lambda value, bound: not isinstance(value, str) or len(value) <= bound,
    "minItems": lambda value, bound: not isinstance(value, list) or len(value) >= bound,
    "maxItems": lambda value, bound: not isinstance(value, list) or len(value) <= bound,
    "maxProperties": lambda value, bound: not isinstance(value, dict) or len(value) <= bound,
    "pattern": lambda value, bound: not isinstance(value, str) or re.search(bound, value) is not None,
    "enum": lambda value, bound: any(_same(value, item) for item in bound),
    "const": lambda value, bound: _same(value, bound),  # noqa: PLW0108
    "uniqueItems": lambda value, bound: not (bound and isinstance(value, list)) or _distinct(value),
}
_SAID_ONLY = {
    "title", "description", "default", "examples", "example", "readOnly", "writeOnly", "deprecated", "discriminator",
}  # fmt: skip


def faults(value: Json, schema: Mapping[str, Any], schemas: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What is wrong with a value, each with its place. `schemas` are the document's components."""
    if "$ref" in schema:
        yield from faults(value, schemas[schema["$ref"].removeprefix("#/components/schemas/")], schemas, place)
    for keyword, bound in schema.items():
        if keyword in _BOUNDS:
            if not _BOUNDS[keyword](value, bound):
                yield f"{place}: {value!r:.100} breaks {keyword} {bound!r:.200}"
        elif keyword == "type":
            kinds = bound if isinstance(bound, list) else [bound]
            if not any(_TYPES[kind](value) for kind in kinds):
                yield f"{place}: {value!r:.100} is no {bound}"
        elif keyword == "format":
            if isinstance(value, str) and not _is_formatted(value, bound):
                yield f"{place}: {value!r:.100} is no {bound}"
        elif keyword in {"anyOf", "oneOf"}:
            tried = [list(faults(value, choice, schemas, place)) for choice in bound]
            if all(tried):
                yield f"{place}: {value!r:.100} fits none of: {'; '.join(found[0] for found in tried)}"
        elif keyword == "allOf":
            for part in bound:
                yield from faults(value, part, schemas, place)
        elif keyword == "items":
            for index, item in enumerate(value if isinstance(value, list) else ()):
                yield from faults(item, bound, schemas, f"{place}[{index}]")
        elif keyword == "propertyNames":
            for name in value if isinstance(value, dict) else ():
                yield from faults(name, bound, schemas, f"{place}.{name}")
        elif keyword in {"properties", "required", "additionalProperties"}:
            if isinstance(value, dict):
                yield from _members(keyword, value, schema, schemas, place)
        elif keyword != "$ref" and keyword not in _SAID_ONLY and not keyword.startswith("x-"):
            message = f"{place}: the checker does not know {keyword!r}"
            raise LookupError(message)


def _members(
    keyword: str, value: Mapping[str, Any], schema: Mapping[str, Any], schemas: Mapping[str, Any], place: str
) -> Iterator[str]:
    properties = schema.get("properties", {})
    if keyword == "required":
        yield from (f"{place}: lacks {name!r}" for name in schema["required"] if name not in value)
        return
    for name, item in value.items():
        below = f"{place}.{name}" if place else name
        if keyword == "properties" and name in properties:
            yield from faults(item, properties[name], schemas, below)
        elif keyword == "additionalProperties" and name not in properties:
            rest = schema["additionalProperties"]
            if rest is False:
                yield f"{below}: is not declared"
            elif isinstance(rest, dict):
                yield from faults(item, rest, schemas, below)


def _same(one: Json, other: Json) -> bool:
    """Equality as in JSON, where true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _distinct(items: list[Json]) -> bool:
    return not any(_same(item, other) for index, item in enumerate(items) for other in items[:index])


def _is_formatted(value: str, kind: str) -> bool:
    try:
        if kind == "uuid":
            UUID(value)
        elif kind == "date-time":
            datetime.fromisoformat(value)
        else:
            raise LookupError(kind)
    except ValueError:
        return False
    return True
