"""Other names under which a field may be written: names of older versions, and shorthands.

Aliases are never stored. A deprecated one must agree with the field it stands for where both are given, and is shown beside it
on reading, for clients that know only the old name. A shorthand wins over the field and is not shown.

Source: the behaviour of Kong Gateway's shorthand fields.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schema.walk import Path

_HIDDEN: Final = "***"


@dataclass(frozen=True, slots=True)
class Alias:
    """`name` stands for the field at `path`, both seen from the record that has the alias."""

    name: str
    path: Path
    shorthand: bool = False
    convert: Callable[[Any], Any] | None = None


class AliasConflict(ValueError):
    """An old name and its field say different things."""


def unfold(aliases: Sequence[Alias], document: Mapping[Any, Any], secret: frozenset[Path]) -> dict[Any, Any]:
    """The document with every alias replaced by what it stands for. `secret`: paths whose values must not be told.

    Raises: AliasConflict.
    """
    result = dict(document)
    for alias in aliases:
        value = result.pop(alias.name, None)
        if value is None:
            continue
        if alias.convert is not None:
            value = alias.convert(value)
        there = _at(result, alias.path)
        if there is not None and there != value and not alias.shorthand:
            told = (_HIDDEN, _HIDDEN) if alias.path in secret else (value, there)
            raise AliasConflict(
                "both deprecated and new field are used but their values mismatch: "
                f"{alias.name} = {_shown(told[0])} vs {'.'.join(alias.path)} = {_shown(told[1])}"
            )
        result = _with(result, alias.path, value)
    return result


def lay_over(aliases: Sequence[Alias], change: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """`change` laid over `stored`, whose values give way to aliases in the change; null takes the field back, too."""
    merged = {**stored, **change}
    for alias in aliases:
        if alias.name not in change:
            continue
        if _at(change, alias.path) is None:
            value = change[alias.name]
            if value is None and _at(merged, alias.path) is None:
                del merged[alias.name]  # unset already; a record that is not there is not made for it
                continue
            merged = _with(
                merged, alias.path, value if alias.convert is None or value is None else alias.convert(value)
            )
            del merged[alias.name]
    return merged


def shown(places: Sequence[tuple[Path, Sequence[Alias]]], document: Mapping[str, Any]) -> dict[str, Any]:
    """A complete document with its deprecated names. `places`: where the records that have some are."""
    result = dict(document)
    for place, aliases in places:
        inner = _at(document, place)
        if isinstance(inner, dict):
            for alias in aliases:
                if not alias.shorthand:
                    result = _with(result, (*place, alias.name), _at(document, (*place, *alias.path)))
    return result


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)[:200]


def _at(document: Mapping[Any, Any], path: Path) -> Any:
    value: Any = document
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _with(document: Mapping[Any, Any], path: Path, value: Any) -> dict[Any, Any]:
    if len(path) == 1:
        return {**document, path[0]: value}
    below = document.get(path[0])
    if below is not None and not isinstance(below, dict):
        return dict(document)  # the field's own rule says what is wrong with it
    inner: dict[Any, Any] = below or {}
    return {**document, path[0]: _with(inner, path[1:], value)}
