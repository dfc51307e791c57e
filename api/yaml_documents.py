"""YAML from strangers, as plain JSON values: bounded in size and depth, without tags, aliases counted at what they stand for.

Built from events, for the library's own composer recurses in C and ends the process where a document is nested deeply.
Source: YAML 1.2.2 section 10.3 (core schema); merge keys (`<<`) of YAML 1.1, which configuration files use.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

MOST_VALUES: Final = 300_000
DEEPEST: Final = 64

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {
    text: value for name, value in (("true", True), ("false", False)) for text in (name, name.title(), name.upper())
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,300}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]{1,300}|[0-9]{1,300}(\.[0-9]{0,300})?)([eE][-+]?[0-9]{1,3})?", re.ASCII)
_TEXT_TAGS: Final = frozenset({None, "!", "tag:yaml.org,2002:str"})
_MERGE: Final = "<<"


class YamlError(ValueError):
    """Text that is no YAML document, or none that is read here; the message quotes nothing of it but where."""


@dataclass(slots=True)
class _Open:
    """A map or list that is being read. `begun`: how many values there were before it."""

    container: dict[str, Any] | list[Any]
    anchor: str | None
    begun: int
    key: str | None = None


@dataclass(slots=True)
class _Reading:
    values: int = 0
    stack: list[_Open] = field(default_factory=list[_Open])
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict[str, tuple[Any, int]])
    done: list[Any] = field(default_factory=list[Any])

    def count(self, more: int) -> None:
        self.values += more
        if self.values > MOST_VALUES:
            raise YamlError(f"the document has more than {MOST_VALUES} values")

    def put(self, value: Any) -> None:
        if not self.stack:
            self.done.append(value)
            return
        top = self.stack[-1]
        if isinstance(top.container, list):
            top.container.append(value)
        elif top.key is None:
            if isinstance(value, (dict, list)):
                raise YamlError("a key is not text")
            top.key = _key(value)
        else:
            top.container[top.key] = value
            top.key = None

    def open(self, container: dict[str, Any] | list[Any], event: yaml.CollectionStartEvent) -> None:
        if event.tag is not None and not event.implicit:
            raise YamlError("tags are not supported")
        if len(self.stack) == DEEPEST:
            raise YamlError(f"the document is nested more than {DEEPEST} levels deep")
        self.count(1)
        self.stack.append(_Open(container, event.anchor, self.values))

    def close(self) -> None:
        top = self.stack.pop()
        if isinstance(top.container, dict) and _MERGE in top.container:
            _merge(top.container)
        if top.anchor is not None:
            self.anchors[top.anchor] = (top.container, self.values - top.begun + 1)
        self.put(top.container)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        self.count(1)
        value = _scalar(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        self.put(value)

    def alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self.anchors:
            raise YamlError("an alias refers to nothing that is complete")
        value, size = self.anchors[event.anchor]
        self.count(size)
        self.put(value)


def parse(text: str) -> object:
    """The value of the one document in `text`. Aliases share what they stand for.

    Raises: YamlError.
    """
    reading = _Reading()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.ScalarEvent):
                reading.scalar(event)
            elif isinstance(event, yaml.MappingStartEvent):
                reading.open({}, event)
            elif isinstance(event, yaml.SequenceStartEvent):
                reading.open([], event)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                reading.close()
            elif isinstance(event, yaml.AliasEvent):
                reading.alias(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f" at line {mark.line + 1} column {mark.column + 1}"
        raise YamlError(f"the document is not valid YAML: {error.problem}{where}") from None
    except (yaml.YAMLError, UnicodeError):
        raise YamlError("the document is not valid YAML") from None
    if len(reading.done) != 1:
        raise YamlError(f"one document is expected, not {len(reading.done)}")
    return reading.done[0]


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if not event.implicit[0]:
        if event.tag not in _TEXT_TAGS:
            raise YamlError("tags are not supported")
        return text
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _key(value: Any) -> str:
    """JSON knows text only: `200:` and `true:` are keys as they are written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _merge(mapping: dict[str, Any]) -> None:
    """What `<<` names, where the map itself does not say otherwise; the first of several counts."""
    given: Any = mapping.pop(_MERGE)
    for source in given if isinstance(given, list) else [given]:
        if not isinstance(source, dict):
            raise YamlError("a merge key names something that is no map")
        members: dict[str, Any] = source
        for name, value in members.items():
            mapping.setdefault(name, value)
