"""Where things are: marks and records in a declaration, and what a document of it has there.

A path names fields from the outside in; `*` stands for every item of a list or every value of a map.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel

from schema.errors import dotted

M = TypeVar("M")

Path = tuple[str, ...]


def marked(record: type[BaseModel], kind: type[M]) -> tuple[tuple[Path, M], ...]:
    """Every mark of this kind on the fields of a record and of the records within, with its path."""
    return _marked(record, kind)


@cache
def _marked(record: type[BaseModel], kind: type[Any]) -> tuple[tuple[Path, Any], ...]:
    found: list[tuple[Path, Any]] = []
    for name, info in record.model_fields.items():
        found.extend(((name,), mark) for mark in info.metadata if isinstance(mark, kind))
        found.extend(((name, *path), mark) for path, mark in _marks_within(info.annotation, kind))
    return tuple(found)


def _marks_within(annotation: Any, kind: type[Any]) -> list[tuple[Path, Any]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(_marked(annotation, kind))
    own: list[tuple[Path, Any]] = [
        ((), mark) for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, kind)
    ]
    star = _star(annotation)
    return own + [((*star, *path), mark) for part in get_args(annotation) for path, mark in _marks_within(part, kind)]


@cache
def records_within(record: type[BaseModel]) -> tuple[tuple[Path, type[BaseModel]], ...]:
    """The kinds of records within a record, outer ones first, each with its path."""
    return tuple(
        ((name, *path), found)
        for name, info in record.model_fields.items()
        for path, found in _records_in(info.annotation)
    )


def _records_in(annotation: Any) -> list[tuple[Path, type[BaseModel]]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [((), annotation), *records_within(annotation)]
    star = _star(annotation)
    return [((*star, *path), found) for part in get_args(annotation) for path, found in _records_in(part)]


def _star(annotation: Any) -> Path:
    return ("*",) if get_origin(annotation) in {list, dict} else ()


def values_at(document: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """What a document has at a path, each value with its dotted place (`metrics[0].name`); nothing where it is unset."""
    for steps, value in _values_at(document, path):
        yield dotted(steps), value


def _values_at(value: Any, path: Path) -> Iterator[tuple[list[str | int], Any]]:
    if not path:
        if value is not None:
            yield [], value
        return
    step, rest = path[0], path[1:]
    members: dict[Any, Any] = {}
    if isinstance(value, dict):
        inner: dict[Any, Any] = value
        members = inner if step == "*" else {step: inner.get(step)}
    elif isinstance(value, list) and step == "*":
        entries: list[Any] = value
        members = dict(enumerate(entries))
    for name, member in members.items():
        for steps, found in _values_at(member, rest):
            yield [name, *steps], found
