"""What is wrong with a declarative file, as the Admin API says it.

Source: Kong Gateway's error 14 and its `flattened_errors`, which tools read.
"""

from collections.abc import Iterable
from typing import Any, Final

from core.crud.errors import InvalidConfiguration
from schema.base import Document
from schema.bounds import MOST_FINDINGS
from schema.declarative import DeclarativeError

_CODE: Final = 14
_NAME: Final = "invalid declarative configuration"
_WHOLE: Final = "@entity"


def render(error: InvalidConfiguration) -> Document:
    """The body of the answer. Of too many errors, the first ones."""
    shown = error.errors[:MOST_FINDINGS]
    where = sorted({_where(item) for item in shown})
    unlisted = len(error.errors) - len(shown)
    message = f"{error.message}: {', '.join(where[:10])}{' and more' if len(where) > 10 or unlisted else ''}"
    about_file = [item for item in shown if not item.entity]
    about_entities = [item for item in shown if item.entity]
    body: Document = {"code": _CODE, "name": _NAME, "message": message}
    if error.flatten:
        body["fields"] = _fields(about_file)
        body["flattened_errors"] = _flattened(about_entities)
    else:
        body["fields"] = _fields(shown)
    if unlisted:
        body["unlisted_errors"] = unlisted
    return body


def _where(error: DeclarativeError) -> str:
    return error.position or error.field or _WHOLE


def _fields(errors: Iterable[DeclarativeError]) -> Document:
    """By place in the file, and there by field."""
    found: Document = {}
    for error in errors:
        if error.position:
            found.setdefault(error.position, {}).setdefault(error.field or _WHOLE, []).append(error.message)
        else:
            found.setdefault(error.field or _WHOLE, []).append(error.message)
    return found


def _flattened(errors: Iterable[DeclarativeError]) -> list[Document]:
    by_entity: dict[str, list[DeclarativeError]] = {}
    for error in errors:
        by_entity.setdefault(error.position or str(error.id), []).append(error)
    return [_entity(group) for group in by_entity.values()]


def _entity(errors: list[DeclarativeError]) -> Document:
    first = errors[0]
    tags: Any = first.given.get("tags")
    found: Document = {
        "entity_type": first.entity,
        "entity_id": first.id,
        "entity_name": first.name,
        "entity_tags": tags if isinstance(tags, list) else None,
        "entity": first.given,
        "errors": [
            {"type": "field", "field": error.field, "message": error.message}
            if error.field
            else {"type": "entity", "message": error.message}
            for error in errors
        ],
    }
    return {name: value for name, value in found.items() if value is not None}
