"""Declarations in the notation of Kong's Admin API: records as lists of objects with one field each.

Clients fill in defaults from it and compare the result with what they read, so it is made from the very classes that validate
and complete what they write.

Source: the schemas that Kong Gateway serves, as decK and the Terraform provider read them.
"""

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schema.aliases import Alias
from schema.base import SYSTEM_FIELDS, Entity, PluginConfig, PluginSpec, Record, Ref
from schema.marks import Auto, Deprecated, Referenceable, Sealed
from schema.types import Distinct, ReferenceRecord, Rule

Notation = dict[str, Any]

_PLAIN: Final[dict[Any, str]] = {str: "string", bool: "boolean", int: "integer", float: "number"}
_TIMESTAMP: Final[Notation] = {"type": "integer", "timestamp": True, "auto": True}
_FLAGS: Final[dict[type, str]] = {Sealed: "encrypted", Referenceable: "referenceable", Auto: "auto"}
_REMOVED_IN: Final = "4.0"
_SCOPES: Final = ("consumer", "consumer_group", "route", "service")


def entity_notation(entity: type[Entity]) -> Notation:
    """A kind of entity: `{"fields": […]}`, write-only shorthands apart."""
    fields: list[Notation] = []
    shorthands: list[Notation] = []
    for name, info in entity.model_fields.items():
        field = _system_field(name) or _field(info)
        if field is not None:
            (shorthands if info.exclude else fields).append({name: field})
    return {"fields": fields, **({"shorthand_fields": shorthands} if shorthands else {})}


def config_notation(config: type[Record]) -> Notation:
    """What has a configuration of this kind: `{"fields": […, {"config": …}]}`, for plugins with where they may be used."""
    own: Notation = {"config": {**record_notation(config), "required": True}}
    return plugin_notation(config.spec, own) if issubclass(config, PluginConfig) else {"fields": [own]}


def plugin_notation(spec: PluginSpec, own: Notation) -> Notation:
    """A plugin's own field, beside where it may be used."""
    protocols: Notation = {
        "type": "set",
        "required": True,
        "elements": {"type": "string", "required": True, "one_of": list(spec.allowed_protocols)},
        "default": list(spec.protocols),
    }
    fields: list[Notation] = [{"protocols": protocols}]
    for scope in _SCOPES:
        closed = {} if scope in spec.scopes else {"eq": None}
        fields.append({scope: {"type": "foreign", "reference": f"{scope}s", **closed}})
    fields.append(own)
    partials: dict[str, list[str]] = {}
    for kind, path in spec.partials:
        partials.setdefault(kind, []).append(path)
    return {"fields": fields, **({"supported_partials": partials} if partials else {})}


def record_notation(record: type[BaseModel]) -> Notation:
    """A record, with its fields and their other names."""
    fields = [{name: field} for name, info in record.model_fields.items() if (field := _field(info)) is not None]
    aliases: Sequence[Alias] = record.aliases if issubclass(record, Record) else ()
    shorthands = [{alias.name: _alias(record, alias)} for alias in aliases]
    return {"type": "record", "fields": fields, **({"shorthand_fields": shorthands} if shorthands else {})}


def _system_field(name: str) -> Notation | None:
    if name not in SYSTEM_FIELDS:
        return None
    return {"type": "string", "uuid": True, "auto": True} if name == "id" else dict(_TIMESTAMP)


def _field(info: FieldInfo) -> Notation | None:
    """A field with its default; None for one that is reserved."""
    field, nullable = _value(info.annotation, info.metadata)
    if not field:
        return None
    if info.description:
        field["description"] = info.description
    if not nullable:
        field["required"] = True
    default = None if info.is_required() else _plain(info.get_default(call_default_factory=True))
    if default is not None and field["type"] != "record":
        field["default"] = default
    return field


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, list):
        entries: list[Any] = value
        return [_plain(entry) for entry in entries]
    return value


def _value(annotation: Any, marks: Iterable[Any]) -> tuple[Notation, bool]:
    """What a type means, and whether null is one of its values."""
    known = [*marks]
    nullable = False
    while get_origin(annotation) in {Annotated, Union, UnionType}:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            known += more
            continue
        options = [option for option in get_args(annotation) if option is not type(None)]
        nullable = nullable or len(options) < len(get_args(annotation))
        annotation = options[0] if len(options) == 1 else float  # the one union of ours is that of all numbers
    return {**_kind(annotation, known), **_attributes(known)} if annotation is not type(None) else {}, nullable


def _kind(annotation: Any, marks: Sequence[Any]) -> Notation:
    if isinstance(annotation, type) and issubclass(annotation, ReferenceRecord):
        return {"type": "foreign", "reference": next(mark.to for mark in marks if isinstance(mark, Ref))}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return record_notation(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"type": _PLAIN[type(arguments[0])], "one_of": list(arguments)}
    if origin is list:
        elements, _ = _value(arguments[0], ())
        return {"type": "set" if Distinct in marks else "array", "elements": {**elements, "required": True}}
    if origin is dict:
        keys, values = (_value(argument, ())[0] for argument in arguments)
        return {"type": "map", "keys": {**keys, "required": True}, "values": {**values, "required": True}}
    return {"type": _PLAIN.get(annotation, "any")}


def _attributes(marks: Sequence[Any]) -> Notation:
    found: Notation = {}
    facets: Notation = {}
    for mark in marks:
        if isinstance(mark, Rule):
            facets.update(mark.facets)
        elif type(mark) in _FLAGS:
            found[_FLAGS[type(mark)]] = True
        elif isinstance(mark, Deprecated):
            found["deprecation"] = _deprecation("is deprecated", mark.instead)
    return {**found, **_bounds(facets)}


def _bounds(facets: Notation) -> Notation:
    found: Notation = {}
    if "minimum" in facets and "maximum" in facets:
        found["between"] = [facets["minimum"], facets["maximum"]]
    if "exclusiveMinimum" in facets:
        found["gt"] = facets["exclusiveMinimum"]
    if "minItems" in facets:
        found["len_min"] = facets["minItems"]
    elif facets.get("minLength", 1) != 1:  # no text may be empty unless it says so
        found["len_min"] = facets["minLength"]
    if facets.get("format") == "uuid":
        found["uuid"] = True
    return found


def _alias(record: type[BaseModel], alias: Alias) -> Notation:
    target, _ = _value(*_at(record, alias.path))
    found: Notation = {"type": target["type"]}
    if not alias.shorthand:
        found["deprecation"] = {
            **_deprecation(f"{alias.name} is deprecated", ".".join(alias.path)),
            "replaced_with": [{"path": list(alias.path)}],
        }
        found["translate_backwards"] = list(alias.path)
    return found


def _at(record: type[BaseModel], path: Sequence[str]) -> tuple[Any, Sequence[Any]]:
    info = record.model_fields[path[0]]
    if len(path) == 1:
        return info.annotation, info.metadata
    inside = (info.annotation, *get_args(info.annotation))  # a record, or one that may be null
    return _at(next(part for part in inside if isinstance(part, type) and issubclass(part, BaseModel)), path[1:])


def _deprecation(message: str, instead: str | None) -> Notation:
    told = message if instead is None else f"{message}, please use {instead} instead"
    return {"message": told, "removal_in_version": _REMOVED_IN}
