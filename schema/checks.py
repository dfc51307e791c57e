"""Cross-field rules as values: the API, the published schema and the console form all read the same objects."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schema.errors import Violation


def _value(document: Mapping[str, Any], name: str) -> Any:
    """The value of a field by its dotted name; None where something on the way to it is unset."""
    value: Any = document
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _given(document: Mapping[str, Any], name: str) -> bool:
    """Set, and neither empty (which matches nothing) nor a numeric default of 0."""
    return _value(document, name) not in (None, [], {}, "", 0)


def _heads(names: Iterable[str]) -> frozenset[str]:
    """The fields of the document itself that dotted names go through."""
    return frozenset(name.partition(".")[0] for name in names)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


@dataclass(frozen=True, slots=True)
class AtLeastOneOf:
    """One of the named fields, dotted where they are within a record, must be set."""

    names: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        return _heads(self.names)

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if not any(_given(document, name) for name in self.names):
            yield Violation("", f"at least one of these fields must be non-empty: {_quoted(self.names)}")


@dataclass(frozen=True, slots=True)
class ExactlyOneOf:
    """One of the named fields must be set, and no other of them."""

    names: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(self.names)

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if sum(1 for name in self.names if _given(document, name)) != 1:
            yield Violation("", f"exactly one of these fields must be non-empty: {_quoted(self.names)}")


@dataclass(frozen=True, slots=True)
class MutuallyExclusiveSets:
    """The values of a list must all come from the same set."""

    name: str
    sets: tuple[tuple[str, ...], ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.name})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        values = set(document.get(self.name) or ())
        if sum(1 for group in self.sets if values & set(group)) > 1:
            sets = ", ".join(f"({_quoted(group)})" for group in self.sets)
            yield Violation(self.name, f"these sets are mutually exclusive: {sets}")


@dataclass(frozen=True, slots=True)
class RequiredMatchers:
    """Per protocol (the first one listed that the entity has decides): one of these fields must be set."""

    switch: str
    by_protocol: tuple[tuple[str, tuple[str, ...]], ...]
    unless: str

    @property
    def fields(self) -> frozenset[str]:
        names = {name for _, matchers in self.by_protocol for name in matchers}
        return frozenset({self.switch, self.unless, *names})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if _given(document, self.unless):
            return
        protocols = document.get(self.switch) or ()
        for protocol, matchers in self.by_protocol:
            if protocol in protocols:
                if not any(_given(document, name) for name in matchers):
                    yield Violation("", f"must set one of {_quoted(matchers)} when '{self.switch}' is '{protocol}'")
                return


@dataclass(frozen=True, slots=True)
class ForbiddenFor:
    """`name` must stay unset when `switch` holds one of `values`."""

    name: str
    switch: str
    values: tuple[str, ...]
    forbidden: Any = None
    """The one refused value; None refuses every value."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.name, self.switch})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        refused = _given(document, self.name) if self.forbidden is None else document.get(self.name) == self.forbidden
        if refused and set(document.get(self.switch) or ()) & set(self.values):
            names = [f"'{value}'" for value in self.values]
            listed = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
            yield Violation(self.name, f"cannot set '{self.name}' when '{self.switch}' is {listed}")


@dataclass(frozen=True, slots=True)
class OnlyWithAny:
    """`name` may be set only when `switch` holds one of `values`."""

    name: str
    switch: str
    values: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.name, self.switch})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if _given(document, self.name) and not set(document.get(self.switch) or ()) & set(self.values):
            names = [f"'{value}'" for value in self.values]
            listed = ", ".join(names[:-1]) + " or " + names[-1]
            yield Violation(self.name, f"'{self.name}' can only be set when '{self.switch}' is {listed}")


@dataclass(frozen=True, slots=True)
class NullWhen:
    """`names` must be null when the scalar `switch` is one of `values` (or, with `negate`, none of them)."""

    names: tuple[str, ...]
    switch: str
    values: tuple[str, ...]
    negate: bool = False

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.switch, *self.names})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if (document.get(self.switch) in self.values) == self.negate:
            return
        broken = [name for name in self.names if document.get(name) is not None]
        for name in broken:
            yield Violation(name, "value must be null")
        if broken:
            yield Violation("", f"failed conditional validation given value of field '{self.switch}'")


@dataclass(frozen=True, slots=True)
class RuleWhen:
    """A further rule on the text `name` when the scalar `switch` is one of `values`: `check` says what is wrong."""

    name: str
    switch: str
    values: tuple[str | bool, ...]
    check: Callable[[str], str | None]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.name, self.switch})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        value = document.get(self.name)
        if isinstance(value, str) and document.get(self.switch) in self.values:
            wrong = self.check(value)
            if wrong is not None:
                yield Violation(self.name, wrong)


@dataclass(frozen=True, slots=True)
class Apart:
    """Fields of two alternatives of one entity must not be set together."""

    switch: str
    others: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.switch, *self.others})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if not _given(document, self.switch):
            return
        for name in self.others:
            if _given(document, name):
                yield Violation(name, f"cannot be set together with '{self.switch}'")


@dataclass(frozen=True, slots=True)
class Needs:
    """`name` has a meaning only beside `other`."""

    name: str
    other: str

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.name, self.other})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if _given(document, self.name) and not _given(document, self.other):
            yield Violation(self.name, f"can only be set together with '{self.other}'")


@dataclass(frozen=True, slots=True)
class RequiredWhen:
    """`names`, dotted where they are within a record, must be set when the scalar `switch` is one of `values`."""

    names: tuple[str, ...]
    switch: str
    values: tuple[Any, ...]

    @property
    def fields(self) -> frozenset[str]:
        return _heads((self.switch, *self.names))

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if _value(document, self.switch) not in self.values:
            return
        missing = [name for name in self.names if _value(document, name) is None]
        for name in missing:
            yield Violation(name, "required field missing")
        if missing:
            yield Violation("", f"failed conditional validation given value of field '{self.switch}'")


@dataclass(frozen=True, slots=True)
class OneOfWhen:
    """The scalar `name` must be one of `allowed` when the scalar `switch` is one of `values`."""

    name: str
    switch: str
    values: tuple[str, ...]
    allowed: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset({self.name, self.switch})

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if document.get(self.switch) in self.values and document.get(self.name) not in self.allowed:
            yield Violation(self.name, f"expected one of: {', '.join(self.allowed)}")
            yield Violation("", f"failed conditional validation given value of field '{self.switch}'")


@dataclass(frozen=True, slots=True)
class DistinctValues:
    """Of these fields no two may be set to the same."""

    names: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(self.names)

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        given = [document[name] for name in self.names if document.get(name) is not None]
        if len(set(given)) < len(given):
            yield Violation("", f"values of these fields must be distinct: {_quoted(self.names)}")


@dataclass(frozen=True, slots=True)
class AllOrNoneOf:
    """These fields are set together or not at all."""

    names: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(self.names)

    def violations(self, document: Mapping[str, Any]) -> Iterable[Violation]:
        if len({document.get(name) is None for name in self.names}) > 1:
            yield Violation("", f"all or none of these fields must be set: {_quoted(self.names)}")
