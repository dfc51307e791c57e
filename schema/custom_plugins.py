"""Plugins whose schema is their owner's, in Lua: what a configuration of theirs may be, as far as the text tells without being run.

Types, records, defaults, required fields, choices, bounds and lengths are judged here. Patterns, functions and rules across
fields are not: the nodes that have the plugin judge them, as they judge everything else again.

Source: the schema language of Kong Gateway's plugins.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import uuid4

from schema.base import ANY_SCOPE, EVERY_PROTOCOL, WEB, Catalog, Document, PluginSpec
from schema.bounds import MOST_VALUES
from schema.errors import Violation
from schema.lua_tables import UNKNOWN, NotDeclarative, Table, items_of, read
from schema.marks import is_reference
from schema.notation import plugin_notation
from schema.types import MAX_TEXT_LENGTH, is_uuid, length

_TEXT_TYPES: Final = (
    "certificate",
    "cidr",
    "cidr_v4",
    "header_name",
    "host",
    "host_with_optional_port",
    "http_method",
    "ip",
    "ip_or_cidr",
    "key",
    "lua_code",
    "name",
    "path",
    "semantic_version",
    "sni",
    "tag",
    "url",
    "username",
    "utf8_name",
    "wildcard_host",
)
_TEXT: Final[Table] = {"type": "string"}
_TEXTS: Final[Table] = {"type": "array", "elements": _TEXT}
_INTEGER: Final[Table] = {"type": "integer"}
_NONE: Final[Table] = {"type": "foreign", "eq": UNKNOWN}
_PROTOCOLS: Final[Table] = {"type": "set", "required": True, "elements": _TEXT}


def _table(items: tuple[str, ...]) -> Table:
    return dict(enumerate(items, 1))


_TYPEDEFS: Final[Mapping[str, Table]] = {
    **dict.fromkeys(_TEXT_TYPES, _TEXT),
    **dict.fromkeys(("no_consumer", "no_consumer_group", "no_route", "no_service"), _NONE),
    "uuid": {**_TEXT, "uuid": True},
    "port": {**_INTEGER, "between": {1: 0, 2: 65535}},
    "timeout": {**_INTEGER, "between": {1: 0, 2: 2_147_483_646}},
    "hosts": _TEXTS,
    "paths": _TEXTS,
    "methods": {"type": "set", "elements": _TEXT},
    "tags": {"type": "set", "elements": _TEXT},
    "headers": {"type": "map", "keys": _TEXT, "values": _TEXT},
    "protocols": {**_PROTOCOLS, "default": _table(WEB)},
    "protocols_http": {**_PROTOCOLS, "default": _table(WEB), "elements": {**_TEXT, "one_of": _table(WEB)}},
}
_MODULES: Final = {"kong.db.schema.typedefs": _TYPEDEFS}
_WRONG: Final = {
    "string": "expected a string",
    "integer": "expected an integer",
    "number": "expected a number",
    "boolean": "expected a boolean",
    "array": "expected an array",
    "set": "expected a set",
    "map": "expected a map",
    "record": "expected a record",
    "foreign": "expected a record",
}
_STORABLE: Final = length(0, MAX_TEXT_LENGTH)
_RESERVED: Final = "$"
"""How names begin that mean something to whoever keeps the document."""
_LISTS: Final = frozenset(
    {"fields", "one_of", "between", "entity_checks", "not_one_of", "starts_with", "shorthand_fields"}
)


@dataclass(frozen=True, slots=True)
class CustomPlugin:
    """A plugin as its schema describes it."""

    spec: PluginSpec
    config: Table
    notation: Document
    """The schema as clients read it, without what only running it would tell."""

    def complete(self, given: Document) -> tuple[Document, list[Violation]]:
        """A configuration with defaults filled in and null where unset, and what is wrong with it."""
        work = _Completion()
        try:
            return work.complete(self.config, given, ""), work.found
        except _TooMuch:
            return given, [Violation("", f"must not hold more than {MOST_VALUES} values")]


def custom_plugin(name: str, catalog: Catalog) -> CustomPlugin | str | None:
    """The plugin of this name that the control plane has a schema of; what is wrong with the schema; None: there is none."""
    for plural, field in (("plugin_schemas", "lua_schema"), ("custom_plugins", "schema")):
        found = catalog.find(plural, {"name": name})
        if found is not None:
            return _described(name, found[field])
    return None


@lru_cache(maxsize=16)
def _described(name: str, text: str) -> CustomPlugin | str:
    try:
        schema = read(text, _MODULES)
        parts = dict(_fields(schema, "the schema"))
        config = parts.get("config", {"type": "record", "fields": {}})
        _check(config, "config")
        if config["type"] != "record":
            return "the schema cannot be read without running it: config is no record"
    except NotDeclarative as error:
        return f"the schema cannot be read without running it: {error}"
    protocols = parts.get("protocols", _TYPEDEFS["protocols"])
    default = tuple(item for item in items_of(protocols.get("default")) if item in EVERY_PROTOCOL) or WEB
    elements = protocols.get("elements")
    allowed = tuple(items_of(elements.get("one_of"))) if isinstance(elements, dict) else ()
    spec = PluginSpec(
        name=name,
        priority=0,
        protocols=default,
        allowed_protocols=allowed or EVERY_PROTOCOL,
        scopes=ANY_SCOPE - {scope for scope in ANY_SCOPE if "eq" in parts.get(scope, ())},
    )
    return CustomPlugin(spec, config, plugin_notation(spec, {"config": {**_shown(config), "required": True}}))


def _fields(record: object, place: str) -> Iterator[tuple[str, Table]]:
    """Names and descriptions of a record's fields. Raises NotDeclarative."""
    fields: Any = record.get("fields") if isinstance(record, dict) else None
    if not isinstance(fields, dict):
        raise NotDeclarative(f"the fields of {place} are not a table", 1)
    for entry in items_of(fields):
        members: Table = entry if isinstance(entry, dict) else {}
        named = [(name, field) for name, field in members.items() if isinstance(name, str) and isinstance(field, dict)]
        if len(named) != 1 or len(members) != 1 or named[0][0].startswith(_RESERVED):
            raise NotDeclarative(f"a field of {place} is not a name with a table", 1)
        yield named[0]


def _check(field: Table, place: str) -> None:
    """Whether a description, with those within, can be judged by. Raises NotDeclarative."""
    kind = field.get("type")
    if kind not in _WRONG:
        raise NotDeclarative(f"the type of {place} is none that can be read", 1)
    if kind == "record":
        for name, inner in _fields(field, place):
            _check(inner, f"{place}.{name}")
    for part in {"array": ("elements",), "set": ("elements",), "map": ("keys", "values")}.get(kind, ()):
        if not isinstance(field.get(part), dict):
            raise NotDeclarative(f"the {part} of {place} are not a table", 1)
        _check(field[part], f"{place}.{part}")


def _shown(value: Any, name: str = "", kind: object = None) -> Any:
    """A Lua value as JSON."""
    if not isinstance(value, dict):
        return value
    members: Table = {key: item for key, item in value.items() if item is not UNKNOWN}
    if 1 in members or (not members and (name in _LISTS or (name == "default" and kind in {"array", "set"}))):
        return [_shown(item) for item in items_of(members)]
    return {str(key): _shown(item, str(key), members.get("type")) for key, item in members.items()}


class _TooMuch(Exception):
    """Defaults make more of a configuration than any may hold."""


class _Completion:
    """One configuration, laid beside its description."""

    def __init__(self) -> None:
        self.found: list[Violation] = []
        self._count = 0

    def complete(self, field: Table, value: Any, place: str) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            raise _TooMuch
        kind: str = field["type"]
        if value is None:
            value = self._default(field, kind, place)
        if value is None or (field.get("referenceable") is True and is_reference(value)):
            return value
        wanted, judge = _KINDS[kind]
        if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
            return self.wrong(place, _WRONG[kind])
        return judge(self, field, value, place)

    def _default(self, field: Table, kind: str, place: str) -> Any:
        default = field.get("default")
        if default is not None and default is not UNKNOWN:
            return _shown(default, "default", kind)
        if kind == "record" and field.get("required") is True:
            return {}
        if field.get("auto") is True and kind == "string":
            return str(uuid4())
        if field.get("required") is True and default is not UNKNOWN:
            return self.wrong(place, "required field missing")
        return None

    def record(self, field: Table, value: Document, place: str) -> Document:
        known = dict(_fields(field, place))
        for name in value:
            if name not in known:
                self.wrong(_below(place, name), "unknown field")
        return {name: self.complete(inner, value.get(name), _below(place, name)) for name, inner in known.items()}

    def map(self, field: Table, value: Document, place: str) -> Document:
        self._judge_length(field, len(value), place)
        for key in value:
            if key.startswith(_RESERVED):
                self.wrong(_below(place, key), f"must not begin with '{_RESERVED}'")
            self.complete(field["keys"], key, _below(place, key))
        return {key: self.complete(field["values"], item, _below(place, key)) for key, item in value.items()}

    def list(self, field: Table, value: Sequence[Any], place: str) -> list[Any]:
        items = {repr(item): item for item in value}.values() if field["type"] == "set" else value
        self._judge_length(field, len(items), place)
        return [self.complete(field["elements"], item, f"{place}[{index}]") for index, item in enumerate(items)]

    def number(self, field: Table, value: float, place: str) -> Any:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if field["type"] == "integer" and not isinstance(whole, int):
            return self.wrong(place, _WRONG["integer"])
        if isinstance(bound := field.get("gt"), int | float) and whole <= bound:
            self.wrong(place, f"value must be greater than {bound}")
        match items_of(field.get("between")):
            case [int() | float() as low, int() | float() as high] if not low <= whole <= high:
                self.wrong(place, f"value should be between {low} and {high}")
            case _:
                pass
        return self._chosen(field, whole, place)

    def text(self, field: Table, value: str, place: str) -> Any:
        if (wrong := _STORABLE.check(value)) is not None:
            return self.wrong(place, wrong)
        if field.get("uuid") is True and not is_uuid(value):
            return self.wrong(place, "expected a valid UUID")
        self._judge_length({"len_min": 1, **field}, len(value), place)
        return self._chosen(field, value, place)

    def reference(self, field: Table, value: Document, place: str) -> Document | None:
        del field
        identifier = value.get("id")
        if value.keys() != {"id"} or not isinstance(identifier, str) or not is_uuid(identifier):
            return self.wrong(place, "expected the id of an entity")
        return {"id": identifier.lower()}

    def truth(self, field: Table, value: bool, place: str) -> bool:
        del field, place
        return value

    def _judge_length(self, field: Table, size: int, place: str) -> None:
        if isinstance(least := field.get("len_min"), int) and size < least:
            self.wrong(place, f"length must be at least {least}")
        if isinstance(most := field.get("len_max"), int) and size > most:
            self.wrong(place, f"length must be at most {most}")
        if isinstance(exact := field.get("len_eq"), int) and size != exact:
            self.wrong(place, f"length must be {exact}")

    def _chosen(self, field: Table, value: Any, place: str) -> Any:
        choices = items_of(field.get("one_of"))
        if choices and UNKNOWN not in choices and value not in choices:
            return self.wrong(place, f"expected one of: {', '.join(map(str, choices))}")
        return value

    def wrong(self, place: str, message: str) -> None:
        self.found.append(Violation(place, message))


_KINDS: Final[Mapping[str, tuple[Any, Callable[[_Completion, Table, Any, str], Any]]]] = {
    "array": (list, _Completion.list),
    "boolean": (bool, _Completion.truth),
    "foreign": (dict, _Completion.reference),
    "integer": (int | float, _Completion.number),
    "map": (dict, _Completion.map),
    "number": (int | float, _Completion.number),
    "record": (dict, _Completion.record),
    "set": (list, _Completion.list),
    "string": (str, _Completion.text),
}


def _below(place: str, name: object) -> str:
    return f"{place}.{name}" if place else str(name)
