"""What in the OpenAPI documents breaks clients that were written for an earlier state of them.

What clients send may become wider and never narrower; what they receive may become richer and never poorer. New operations,
optional parameters, fields of answers, and further values of an answer's enumeration break nobody: clients pass over what
they do not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
# Limits on what may be sent: whether a larger one is the stricter one.
_LIMITS: Final[Mapping[str, bool]] = {
    "minimum": True, "minLength": True, "minItems": True, "minProperties": True,
    "maximum": False, "maxLength": False, "maxItems": False, "maxProperties": False,
}  # fmt: skip
# What a schema says to people only.
_WORDS: Final = frozenset({"title", "description", "summary", "example", "examples", "tags"})
_NAMED: Final = frozenset({"properties", "schemas"})


def breaks(before: Json, after: Json) -> list[str]:
    """Everything that breaks clients, one line each, in the order of the paths. Both are OpenAPI 3.1 documents."""
    return sorted(set(_Comparison(before, after).all()))


def without_words(document: Json) -> Json:
    """A document without what is said to people, which may change as it likes."""
    return {name: _wordless(document[name]) for name in ("paths", "components") if name in document}


def _wordless(value: Any, *, named: bool = False) -> Any:
    """`named`: the members' names are those of fields, not of keywords."""
    if isinstance(value, dict):
        members: Json = value
        return {
            name: _wordless(item, named=name in _NAMED and not named)
            for name, item in members.items()
            if named or name not in _WORDS
        }
    return [_wordless(item) for item in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of an operation, and a field in it."""

    part: str
    field: str = ""

    def below(self, name: str) -> _Place:
        return _Place(self.part, f"{self.field}.{name}" if self.field else name)

    def each(self) -> _Place:
        return _Place(self.part, f"{self.field}[]")

    def __str__(self) -> str:
        return f"{self.part}: {self.field}" if self.field else self.part


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two documents."""

    document: Json

    def resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].removeprefix(_SCHEMAS)]
        return schema

    def choices(self, schema: Json) -> list[Json]:
        """The alternatives of a schema, each of one type; one without a type where anything goes."""
        schema = self.resolved(schema)
        found = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if found:
            return [choice for part in found for choice in self.choices(part)]
        kinds: Any = schema.get("type")
        return [schema | {"type": kind} for kind in kinds] if isinstance(kinds, list) else [schema]  # pyright: ignore[reportUnknownVariableType]


class _Comparison:
    def __init__(self, before: Json, after: Json) -> None:
        self._before, self._after = _Side(before), _Side(after)
        self._seen: set[tuple[str, str, bool, str]] = set()

    def all(self) -> Iterator[str]:
        for path, item in self._before.document["paths"].items():
            for method, old in item.items():
                where = f"{method.upper()} {path}"
                new: Json | None = self._after.document["paths"].get(path, {}).get(method)
                if new is None:
                    yield f"{where}: the operation is gone"
                else:
                    yield from self._operation(where, old, new)

    def _operation(self, where: str, old: Json, new: Json) -> Iterator[str]:
        if old.get("operationId") != new.get("operationId"):
            yield f"{where}: operationId was {old.get('operationId')!r} and is {new.get('operationId')!r}"
        if not old.get("security") and new.get("security"):
            yield f"{where}: needs a token now"
        yield from self._parameters(where, old.get("parameters", ()), new.get("parameters", ()))
        yield from self._request(where, old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            place = f"{where}: answer {status}"
            if status not in new["responses"]:
                if status < "400":
                    yield f"{place} is gone"
            else:
                yield from self._contents(place, answer, new["responses"][status], sent=False)

    def _parameters(self, where: str, old: Sequence[Json], new: Sequence[Json]) -> Iterator[str]:
        before = {(item["in"], item["name"]): item for item in old}
        after = {(item["in"], item["name"]): item for item in new}
        for key, item in before.items():
            place = f"{where}: {key[0]} parameter {key[1]!r}"
            if key not in after:
                yield f"{place} is gone"
            else:
                yield from self._schema(_Place(place), item["schema"], after[key]["schema"], sent=True)
        for key, item in after.items():
            if item.get("required") and not before.get(key, {}).get("required"):
                yield f"{where}: {key[0]} parameter {key[1]!r} is required now"

    def _request(self, where: str, old: Json | None, new: Json | None) -> Iterator[str]:
        if old is None:
            if new is not None and new.get("required"):
                yield f"{where}: a body is required now"
        elif new is None:
            yield f"{where}: takes no body any more"
        else:
            if new.get("required") and not old.get("required"):
                yield f"{where}: a body is required now"
            yield from self._contents(f"{where}: body", old, new, sent=True)

    def _contents(self, where: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        for kind, media_type in old.get("content", {}).items():
            other: Json | None = new.get("content", {}).get(kind)
            if other is None:
                yield f"{where} is not {kind} any more"
            else:
                yield from self._schema(_Place(where), media_type["schema"], other["schema"], sent=sent)

    def _schema(self, place: _Place, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        """What breaks where values of the old schema were sent, or received, and those of the new one are."""
        if "$ref" in old and "$ref" in new:
            pair = (old["$ref"], new["$ref"], sent, place.part.partition(":")[0])
            if pair in self._seen:
                return  # said already, or being looked at: schemas may contain themselves
            self._seen.add(pair)
        before, after = self._before.choices(old), self._after.choices(new)
        # What must still be possible: whatever clients send, or can cope with.
        held, holding = (before, after) if sent else (after, before)
        for choice in held:
            fits = [other for other in holding if _is_of(choice, other)]
            if not fits:
                kind = choice.get("type", "any value")
                yield f"{place}: takes no {kind} any more" if sent else f"{place}: may be {kind} now"
                continue
            pairs = ((choice, other) if sent else (other, choice) for other in fits)
            yield from min((list(self._alike(place, *pair, sent=sent)) for pair in pairs), key=len)

    def _alike(self, place: _Place, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        """The same for two schemas of one type."""
        if sent:
            yield from _narrowed(place, old, new)
        yield from self._members(place, old, new, sent=sent)
        if "items" in old and "items" in new:
            yield from self._schema(place.each(), old["items"], new["items"], sent=sent)
        former, present = old.get("additionalProperties"), new.get("additionalProperties")
        if sent and present is False and former is not False:
            yield f"{place}: takes no further fields any more"
        elif isinstance(former, dict) and isinstance(present, dict):
            yield from self._schema(place.below("*"), former, present, sent=sent)

    def _members(self, place: _Place, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        before: Json = old.get("properties", {})
        after: Json = new.get("properties", {})
        for name, part in before.items():
            if name not in after:
                yield f"{place.below(name)}: the field is gone"
            else:
                yield from self._schema(place.below(name), part, after[name], sent=sent)
        former, present = set(old.get("required", ())), set(new.get("required", ()))
        if sent:
            yield from (f"{place.below(name)}: the field is required now" for name in sorted(present - former))
        else:
            lost = sorted((former - present) & after.keys())
            yield from (f"{place.below(name)}: the field may be missing now" for name in lost)


def _is_of(choice: Json, other: Json) -> bool:
    """Whether values of one alternative can be values of another."""
    kinds = (choice.get("type"), other.get("type"))
    return kinds[0] == kinds[1] or kinds[1] is None or kinds == ("integer", "number")


def _narrowed(place: _Place, old: Json, new: Json) -> Iterator[str]:
    """By which rules values that were taken are not taken any more."""
    allowed, known = _values(new), _values(old)
    if allowed is not None:
        if known is None:
            yield f"{place}: takes only some values now"
        yield from (f"{place}: the value {value!r} is gone" for value in known or () if value not in allowed)
    for keyword, more_is_stricter in _LIMITS.items():
        limit, former = new.get(keyword), old.get(keyword)
        if limit is not None and (former is None or (limit > former if more_is_stricter else limit < former)):
            yield f"{place}: {keyword} is {limit} and was {'not set' if former is None else former}"
    for keyword in ("pattern", "format"):
        if keyword in new and new[keyword] != old.get(keyword):
            yield f"{place}: {keyword} is {new[keyword]!r} and was {old.get(keyword, 'not set')!r}"
    if new.get("uniqueItems") and not old.get("uniqueItems"):
        yield f"{place}: items must differ now"


def _values(schema: Json) -> list[Any] | None:
    """The only values that a schema takes; None: it does not list them."""
    return schema.get("enum", [schema["const"]] if "const" in schema else None)
