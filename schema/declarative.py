"""A declarative file (decK's format, already parsed) as flat, complete entities.

Children may be nested below their parents; references may be ids or natural keys; missing ids are derived from the
natural key, so loading the same file twice gives the same ids. Nothing stops at the first error.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import field as field_of
from typing import Any, Final, cast

from schema.base import Document, Entity, ReferenceField
from schema.errors import SchemaViolation, Violation
from schema.registry import Registry, registry
from schema.types import is_uuid

_NAMESPACE: Final = uuid.UUID("6f1d3a0c-52c5-4e0e-9b1e-4f5a2f7c8d31")
_VERSIONS: Final = ("1.1", "2.1", "3.0")
_TOOLING: Final = frozenset({"_format_version", "_transform", "_comment", "_ignore", "_info", "_konnect", "_workspace"})
_IGNORED_IN_ENTITIES: Final = frozenset({"_comment", "_ignore"})


@dataclass(frozen=True, slots=True)
class DeclarativeError:
    """One thing that is wrong. `entity` is the kind in singular (empty: the file itself), `field` empty: the whole.

    `position` says where in the file: `services[0].routes[1]`. `given` is what stands there, secrets included.
    """

    entity: str
    field: str
    message: str
    id: str | None = None
    name: str | None = None
    position: str = ""
    given: Document = field_of(default_factory=dict[str, Any], compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Entities by plural; meaningless as a configuration unless `errors` is empty."""

    entities: dict[str, list[Document]]
    errors: tuple[DeclarativeError, ...]
    wrong: Callable[[str, str, Violation], DeclarativeError] = field_of(compare=False, repr=False)
    """What is found wrong later with an entity, by its plural and id, as an error at its place in the file."""

    def for_gateways(self, credential_key: bytes, declarations: Registry | None = None) -> dict[str, list[Document]]:
        """The entities of a snapshot whose settings hold this credential key."""
        known = declarations or registry()
        by_id = {(plural, item["id"]): item for plural, documents in self.entities.items() for item in documents}
        catalog = known.knowing(lambda plural, reference: by_id.get((plural, reference["id"])))
        kinds = {plural: kind for plural, kind in known.entities.items() if kind.spec.gateways}
        return {
            plural: [kind.for_gateways(kind.merged(item, catalog), credential_key) for item in self.entities[plural]]
            for plural, kind in kinds.items()
        }


@dataclass(slots=True)
class _Item:
    entity: type[Entity]
    document: Document
    position: str
    given: Document
    violations: list[Violation] = field(default_factory=list[Violation])
    complete: Document | None = None
    validated: bool = False

    @property
    def id(self) -> str:
        return str(self.document["id"])


def load(document: object, declarations: Registry | None = None, *, hosted: bool = True) -> Loaded:
    """Flatten and validate a declarative file. An absent `_format_version` means the newest.

    `hosted`: for this product's own gateways; others may take what these do not.
    """
    return _Loader(declarations or registry(), hosted=hosted).run(document)


class _Loader:
    def __init__(self, declarations: Registry, *, hosted: bool) -> None:
        self._registry = declarations
        self._hosted = hosted
        self._children: dict[str, dict[str, ReferenceField]] = {}
        for parent, child, reference in declarations.nested():
            self._children.setdefault(parent.spec.plural, {})[child.spec.plural] = reference
        self._joins: dict[str, dict[str, tuple[type[Entity], str, ReferenceField]]] = {}
        for entity in declarations.entities.values():
            for reference in entity.references():
                if reference.ref.listed_as:
                    other = next(item for item in entity.references() if item is not reference)
                    joins = self._joins.setdefault(reference.ref.to, {})
                    joins[reference.ref.listed_as] = (entity, reference.name, other)
        self._catalog = declarations.knowing(self._known)
        self._items: list[_Item] = []
        self._file_errors: list[DeclarativeError] = []
        self._by_id: dict[tuple[str, str], _Item] = {}
        self._by_key: dict[tuple[str, str], _Item] = {}

    def run(self, document: object) -> Loaded:
        if not isinstance(document, dict):
            return Loaded({}, (DeclarativeError("", "", "expected a record"),), self._later)
        file: dict[str, Any] = {str(key): value for key, value in document.items()}
        self._check_head(file)
        for plural, entity in self._registry.entities.items():
            self._collect(entity, file.get(plural), plural, None)
        for item in self._items:
            self._resolve(item)
        for item in self._items:
            self._validate(item)
        self._check_unique()
        entities: dict[str, list[Document]] = {plural: [] for plural in self._registry.entities}
        for item in self._items:
            if item.complete is not None:
                entities[item.entity.spec.plural].append(item.complete)
        return Loaded(entities, tuple(self._errors()), self._later)

    def _later(self, plural: str, identifier: str, violation: Violation) -> DeclarativeError:
        return _error(self._by_id[plural, identifier], violation)

    def _check_head(self, file: Mapping[str, Any]) -> None:
        version = file.get("_format_version", _VERSIONS[-1])
        if version not in _VERSIONS:
            message = "expected one of: " + ", ".join(_VERSIONS)
            self._file_errors.append(DeclarativeError("", "_format_version", message))
        self._file_errors.extend(
            DeclarativeError("", name, "unknown field")
            for name in file
            if name not in _TOOLING and name not in self._registry.entities
        )

    def _collect(self, entity: type[Entity], value: Any, position: str, parent: tuple[str, str] | None) -> None:
        if value is None:
            return
        if not isinstance(value, list):
            self._file_errors.append(DeclarativeError("", position, "expected an array"))
            return
        entries: list[Any] = value
        for index, entry in enumerate(entries):
            here = f"{position}[{index}]"
            if isinstance(entry, str) and parent is not None and entity.spec.natural_key is not None:
                self._collect_one(entity, {entity.spec.natural_key: entry}, here, parent)
                continue
            if not isinstance(entry, dict):
                error = DeclarativeError(entity.spec.singular, "", f"{here}: expected a record", position=here)
                self._file_errors.append(error)
                continue
            members: dict[Any, Any] = entry
            self._collect_one(entity, {str(key): item for key, item in members.items()}, here, parent)

    def _collect_one(
        self, entity: type[Entity], given: Document, position: str, parent: tuple[str, str] | None
    ) -> None:
        children = self._children.get(entity.spec.plural, {})
        joins = self._joins.get(entity.spec.plural, {})
        elsewhere = {*children, *joins, *_IGNORED_IN_ENTITIES}
        own = {name: value for name, value in given.items() if name not in elsewhere}
        item = _Item(entity, own, position, given)
        if parent is not None:
            name, identifier = parent
            if own.get(name) is not None:
                item.violations.append(Violation(name, "cannot be set on an entity nested below its parent"))
            own[name] = {"id": identifier}
        if own.get("id") is None:
            own["id"] = self._derived_id(item)
        self._items.append(item)
        self._by_id.setdefault((entity.spec.plural, item.id.lower()), item)
        if isinstance(name := own.get(entity.spec.natural_key or ""), str):
            self._by_key.setdefault((entity.spec.plural, name), item)
        for plural, reference in children.items():
            child = self._registry.entities[plural]
            self._collect(child, given.get(plural), f"{position}.{plural}", (reference.name, item.id))
        for name, (joining, reference_name, other) in joins.items():
            joined = self._joined(given.get(name), other, f"{position}.{name}")
            self._collect(joining, joined, f"{position}.{name}", (reference_name, item.id))

    def _joined(self, value: Any, other: ReferenceField, position: str) -> Any:
        """Entries that each name one entity, as entities of the kind that joins them to what holds the list."""
        if not isinstance(value, list):
            return value
        natural = str(self._registry.entities[other.ref.to].spec.natural_key)
        found: list[Document] = []
        for index, entry in enumerate(cast("list[Any]", value)):
            members: dict[Any, Any] = entry if isinstance(entry, dict) else {natural: entry}
            reference = {key: members[key] for key in ("id", natural) if isinstance(members.get(key), str)}
            if reference:
                found.append({other.name: reference})
            else:
                message = f"{position}[{index}]: expected the id or the name of an entity"
                self._file_errors.append(DeclarativeError("", position, message))
        return found

    def _known(self, plural: str, reference: Mapping[str, Any]) -> Document | None:
        """The complete document that a reference means, unless it is wrong itself."""
        item = self._item(plural, dict(reference))
        if item is None:
            return None
        self._validate(item)
        return item.complete

    def _derived_id(self, item: _Item) -> str:
        spec, document = item.entity.spec, item.document
        for unique in spec.unique:
            values = [document.get(name) for name in unique.fields]
            if any(value is not None for value in values) and (unique.nulls_equal or None not in values):
                key = json.dumps([unique.fields, values], sort_keys=True, default=str)
                return str(uuid.uuid5(_NAMESPACE, f"{spec.plural}:{key}"))
        return str(uuid.uuid5(_NAMESPACE, f"{spec.plural}:{item.position}"))

    def _resolve(self, item: _Item) -> None:
        for reference in item.entity.references():
            value = item.document.get(reference.name)
            if value is None:
                continue
            values: list[Any] = value if reference.many and isinstance(value, list) else [value]
            found = [self._find(reference.ref.to, one) for one in values]
            for one, identifier in zip(values, found, strict=True):
                if identifier is None:
                    item.violations.append(Violation(reference.name, _unresolved(reference.ref.to, one)))
            if None in found:
                item.document[reference.name] = None
            elif reference.many and self._registry.entities[reference.ref.to].spec.natural_key is not None:
                item.document[reference.name] = [
                    {**one, "id": identifier, "name": None} if isinstance(one, dict) else {"id": identifier}
                    for one, identifier in zip(values, found, strict=True)
                ]
            else:
                item.document[reference.name] = found if reference.many else {"id": found[0]}

    def _find(self, plural: str, value: Any) -> str | None:
        """The id of the entity that a reference means."""
        item = self._item(plural, value)
        return None if item is None else item.id

    def _item(self, plural: str, value: Any) -> _Item | None:
        """The entity that a reference means: `{"id"}`, `{<natural key>}` or either as a bare string."""
        target = self._registry.entities.get(plural)
        if target is None:
            return None
        key = target.spec.natural_key
        members: dict[str, Any] = value if isinstance(value, dict) else {"id": value, str(key): value}
        identifier = members.get("id")
        if isinstance(identifier, str) and (found := self._by_id.get((plural, identifier.lower()))) is not None:
            return found
        name = members.get(key) if key is not None else None
        return self._by_key.get((plural, name)) if isinstance(name, str) else None

    def _validate(self, item: _Item) -> None:
        if item.validated:
            return
        item.validated = True
        item.document.setdefault("created_at", 0)
        item.document.setdefault("updated_at", item.document["created_at"])
        try:
            complete = self._registry.parse(item.entity, item.document, self._catalog)
            names = item.entity.child_names()  # those children are items of their own
            item.complete = {name: value for name, value in complete.items() if name not in names}
            if self._hosted:
                item.violations.extend(item.entity.gateway_faults(complete, self._registry))
        except SchemaViolation as error:
            lost = {violation.field for violation in item.violations}
            item.violations.extend(violation for violation in error.violations if violation.field not in lost)

    def _check_unique(self) -> None:
        seen: set[tuple[str, str]] = set()
        for item in self._items:
            spec = item.entity.spec
            document = item.complete or item.document
            keys: list[tuple[tuple[str, ...], list[Any]]] = []
            for unique in spec.unique:
                values = [document.get(name) for name in unique.fields]
                if unique.nulls_equal or None not in values:
                    keys.append((unique.fields, values))
            keys.append((("id",), [str(document["id"]).lower()]))
            repeated = False
            for fields, values in keys:
                key = json.dumps([fields, values], sort_keys=True, default=str)
                # a derived id repeats whenever its key does: one report is enough
                if (spec.plural, key) in seen and not repeated:
                    item.violations.append(Violation(fields[0], _duplicate(spec.plural, fields, values)))
                    repeated = True
                seen.add((spec.plural, key))

    def _errors(self) -> Iterator[DeclarativeError]:
        yield from self._file_errors
        for item in self._items:
            for violation in dict.fromkeys(item.violations):
                yield _error(item, violation)


def _error(item: _Item, violation: Violation) -> DeclarativeError:
    spec = item.entity.spec
    name = item.document.get(spec.natural_key or "") or item.document.get("name")
    return DeclarativeError(
        spec.singular,
        violation.field,
        violation.message,
        id=item.id if is_uuid(item.id) else None,
        name=name if isinstance(name, str) else None,
        position=item.position,
        given=item.given,
    )


def _unresolved(plural: str, value: Any) -> str:
    return f"the foreign key '{json.dumps(value, default=str)}' does not reference an existing '{plural}' entity."


def _duplicate(plural: str, fields: Sequence[str], values: Sequence[Any]) -> str:
    named = ", ".join(
        f"{name} set to '{value}'" for name, value in zip(fields, values, strict=True) if value is not None
    )
    return f"uniqueness violation: '{plural}' entity with {named} already declared"
