"""Forms: flat `name=value` arguments, as the document that a declaration makes of them.

`a.b=v` is a member of a record, `a[]=v` one more item of a list, `a[2]=v` the second one, `a[key]=v` a member of a map; a name
that comes several times is a list. What a value is, the declaration says: text becomes a number or a boolean only where one
is expected, and what does not look like one stays text, for validation to tell of. Nothing is text of length zero: that is null.
Source: the Admin API of Kong Gateway.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel

from schema.base import Catalog, Document, Entity, Record
from schema.walk import Path

MOST_ARGUMENTS: Final = 1000
LONGEST_NAME: Final = 1024
"""Of an argument, in characters."""
DEEPEST: Final = 32
"""Members and items in one name."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,32}(\.[0-9]{1,32})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_INDEX: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_TOKEN: Final = re.compile(r"\[([^\]]*)\]|\.|[^.\[]+|\[")
_BOOLEANS: Final = {"true": True, "false": False}


class FormError(ValueError):
    """Arguments that make no document, whatever the declaration says."""


def document_of(
    arguments: Iterable[tuple[str, object]],
    entity: type[Entity] | None = None,
    catalog: Catalog | None = None,
    stored: Mapping[str, Any] | None = None,
) -> Document:
    """The document that a form describes. Not validated yet.

    Args:
        arguments: names and values in the order in which they came; a value that is no text was decoded already.
        entity: what it is to be; None: everything stays text.
        catalog: looks up what decides about a field's record.
        stored: the entity that the form is to change: it decides where the form itself does not.

    Raises: FormError: too many arguments, a name that is too long or too deep, or one that is a value and has members.
    """
    root = _tree(arguments)
    if entity is None:
        return {name: _untyped(node) for name, node in root.members.items()}
    fields = _fields(entity)
    found = {name: _typed(node, fields.get(name)) for name, node in root.members.items()}
    if catalog is None:
        return found
    kind: Any = {**(stored or {}), **found}.get(entity.spec.config_by or "")
    if "config" in root.members and isinstance(kind, str):
        found["config"] = _typed(root.members["config"], entity.config_of(kind, catalog))
    return found


# --- the names ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """What was said under one name: values, items without a place, and members by key or index."""

    values: list[object] = field(default_factory=list[object])
    appended: list["_Node"] = field(default_factory=list["_Node"])
    members: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])


def _tree(arguments: Iterable[tuple[str, object]]) -> _Node:
    root = _Node()
    for count, (name, value) in enumerate(arguments):
        if count == MOST_ARGUMENTS:
            raise FormError("Too many arguments")
        node = root
        for step in _steps(name):
            if step is None:
                node.appended.append(_Node())
                node = node.appended[-1]
            else:
                node = node.members.setdefault(step, _Node())
        node.values.append(value)
    return root


def _steps(name: str) -> list[str | None]:
    """`a.b[c][]` → a, b, c, None. Dots at either end belong to the name, and so does a bracket that nothing closes."""
    if len(name) > LONGEST_NAME:
        raise FormError(f"the name of an argument has more than {LONGEST_NAME} characters")
    core = name.strip(".")
    if not core:
        return [name]
    begin = name.index(core)
    steps: list[str | None] = [""]
    in_word = True
    for token in _TOKEN.finditer(core):
        text, bracketed = token.group(), token[1]
        if bracketed is not None and steps[-1] != "":
            steps.append(bracketed or None)
            in_word = False
        elif text == "." or not in_word:
            steps.append("" if text == "." else text)
            in_word = True
        else:
            steps[-1] = f"{steps[-1]}{text}"
    rest = name[begin + len(core) :]
    if not in_word and rest:
        steps.append("")
    steps[0] = f"{name[:begin]}{steps[0]}"
    if rest:
        steps[-1] = f"{steps[-1]}{rest}"
    if len(steps) > DEEPEST:
        raise FormError(f"the name of an argument is nested more than {DEEPEST} levels deep")
    return steps


# --- the declaration ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _List:
    item: "_Shape"


@dataclass(frozen=True, slots=True)
class _Map:
    value: "_Shape"


@dataclass(frozen=True, slots=True)
class _Scalar:
    number: bool
    boolean: bool


_Shape: TypeAlias = _List | _Map | _Scalar | type[BaseModel] | None
"""None: not known, so everything in it is text."""


@cache
def _fields(record: type[BaseModel]) -> Mapping[str, _Shape]:
    found = {name: _shape(info.annotation) for name, info in record.model_fields.items()}
    if issubclass(record, Record):
        found |= {alias.name: _at(record, alias.path) for alias in record.aliases}
    return MappingProxyType(found)


def _at(record: type[BaseModel], path: Path) -> _Shape:
    """What the field at a path within a record looks like."""
    shape: _Shape = record
    for step in path:
        shape = _shape(shape.model_fields[step].annotation) if isinstance(shape, type) else None
    return shape


def _shape(annotation: Any) -> _Shape:
    """What values of a type look like; of a union, what its first member that is no scalar looks like."""
    alternatives = list(_alternatives(annotation))
    for part in alternatives:
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
        arguments = get_args(part)
        if get_origin(part) in {list, tuple, set}:
            return _List(_shape(arguments[0]))
        if get_origin(part) is dict:
            return _Map(_shape(arguments[1]))
    texts = any(part is str or isinstance(part, str) for part in alternatives)
    boolean = any(part is bool or isinstance(part, bool) for part in alternatives)
    number = any(
        part in {int, float} or (isinstance(part, int) and not isinstance(part, bool)) for part in alternatives
    )
    return _Scalar(number and not texts, boolean and not texts) if number or boolean else None


def _alternatives(annotation: Any) -> Iterable[Any]:
    """The members of unions of any depth, without their annotations; the values of literals."""
    if hasattr(annotation, "__metadata__"):
        yield from _alternatives(annotation.__origin__)
    elif get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_args(annotation) and get_origin(annotation) not in {list, tuple, set, dict}:
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


# --- the values --------------------------------------------------------------------------------------------------------


def _typed(node: _Node, shape: _Shape) -> Any:
    if isinstance(shape, _List):
        return _list(node, shape)
    if node.appended or len(node.values) > 1:
        return _untyped(node)
    if node.values:
        _alone(node)
        return _value(node.values[0], shape)
    if isinstance(shape, _Map):
        return {name: _typed(child, shape.value) for name, child in node.members.items()}
    if isinstance(shape, type):
        fields = _fields(shape)
        return {name: _typed(child, fields.get(name)) for name, child in node.members.items()}
    return _untyped(node)


def _list(node: _Node, shape: _List) -> Any:
    """Items in the order: those without a place, those with one."""
    if not node.appended and not node.members and node.values in ([""], [None]):
        return None
    if len(node.values) == 1 and isinstance(node.values[0], list) and not node.appended and not node.members:
        return node.values[0]
    if not all(_INDEX.fullmatch(name) for name in node.members):
        return _untyped(node)
    items = [_value(value, shape.item) for value in node.values]
    items += [_typed(child, shape.item) for child in node.appended]
    return items + [_typed(node.members[name], shape.item) for name in sorted(node.members, key=int)]


def _untyped(node: _Node) -> Any:
    if node.members and not node.values and not node.appended:
        if all(_INDEX.fullmatch(name) for name in node.members):
            return [_untyped(node.members[name]) for name in sorted(node.members, key=int)]
        return {name: _untyped(child) for name, child in node.members.items()}
    _alone(node)
    values = [_value(value, None) for value in node.values]
    return (
        values[0] if len(values) == 1 and not node.appended else values + [_untyped(child) for child in node.appended]
    )


def _alone(node: _Node) -> None:
    if node.members:
        raise FormError(
            f"argument '{next(iter(node.members))[:200]}' is within another one that has a value of its own"
        )


def _value(value: object, shape: _Shape) -> object:
    if not isinstance(value, str):
        return value
    if not value:
        return None
    if isinstance(shape, _List):
        return [_value(value, shape.item)]
    if isinstance(shape, _Scalar):
        if shape.boolean and value in _BOOLEANS:
            return _BOOLEANS[value]
        if shape.number and _NUMBER.fullmatch(value):
            return _number(value)
    return value


def _number(text: str) -> object:
    if text.lstrip("-").isdecimal():
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else text
