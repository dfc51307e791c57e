"""Create, read, list, replace, change and delete entities of one control plane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from core.actor import Actor
from core.clock import Clock
from core.control_planes.configuration import Caps
from core.control_planes.repository import ControlPlaneRepository
from core.crud import links, paging, rows
from core.crud.changes import ChangeLog, lock
from core.crud.errors import InvalidEntity, InvalidRequest, KeyTaken, MissingTarget, ReferenceMissing
from core.crud.hooks import hooks_of
from core.crud.links import Links
from core.crud.paging import ListQuery, Page
from core.crud.references import References
from core.crud.sealing import Sealer
from core.crypto import KeyRing
from core.db.sessions import TenantSession
from core.errors import NotFound
from core.models.control_plane import ControlPlane
from core.models.entities import ENTITY_ROWS, EntityRow, constraint_fields, reference_column
from schema.base import Document, Entity
from schema.errors import SchemaViolation, Violation
from schema.registry import Registry, registry
from schema.types import is_uuid

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parent:
    """The entity that a nested path goes through: its kind, its id or natural key, and the child's field."""

    plural: str
    key: str
    field: str


class EntityStore:
    """All entities of one control plane, for one caller, within the caller's transaction.

    Every method raises NotFound for a control plane, a parent or an entity that is not there or belongs to another
    organization. Writers lock the control plane's row first, so the changes of one control plane have one order.
    Documents that come back are complete and in clear.
    """

    def __init__(
        self,
        session: TenantSession,
        keyring: KeyRing,
        clock: Clock,
        actor: Actor,
        control_plane_id: UUID,
        declarations: Registry | None = None,
        caps: Caps | None = None,
    ) -> None:
        self._session = session
        self._caps = caps or Caps()
        self._clock = clock
        self._actor = actor
        self._control_plane_id = control_plane_id
        self._declarations = declarations or registry()
        place = (session.org_id, control_plane_id)
        self._sealer = Sealer(session, keyring, self._declarations, *place)
        self._references = References(session, self._declarations, self._sealer, *place)
        self._links = Links(session, *place)
        self._catalog = self._declarations.knowing(self._references.find)

    # --- reading ---------------------------------------------------------------------------------------------------

    def read(self, entity: type[Entity], key: str, parent: Parent | None = None, *, merged: bool = False) -> Document:
        """One entity by id or natural key; below a parent only if it belongs to that parent.

        `merged`: together with what it takes from the entities it names.
        """
        parent_id = self._parent_id(parent)
        if not is_uuid(key):
            return self._shown_one(self._require(entity, key, parent_id, parent), merged=merged)
        found = self._references.columns_by_id(entity.spec.plural, UUID(key))
        if found is None or (parent is not None and getattr(found, reference_column(parent.field)) != parent_id):
            raise NotFound(entity.spec.singular, key)
        return self._shown(ENTITY_ROWS[entity.spec.plural], [found], merged=merged)[0]

    def read_referent(self, entity: type[Entity], key: str, field: str) -> Document:
        """The entity that a reference of another one points at. Raises NotFound also when it points nowhere."""
        return self._shown_one(self._require_referent(entity, key, field))

    def list(
        self, entity: type[Entity], query: ListQuery, parent: Parent | None = None, *, merged: bool = False
    ) -> Page:
        """One page in order of creation; `merged` as for `read`. Raises InvalidRequest for a cursor that is none of ours."""
        row = ENTITY_ROWS[entity.spec.plural]
        statement = select(*rows.columns(row)).where(row.control_plane_id == self._control_plane_id)
        if parent is not None:
            statement = statement.where(self._belongs(entity, parent))
        found = self._session.execute(paging.apply(statement, row, query)).all()
        if not found:
            self.require_control_plane()  # any row proves that there is one
        shown = found[: query.size]
        more = len(found) > query.size
        return Page(list(self._shown(row, shown, merged=merged)), paging.cursor(shown[-1]) if more else None)

    def _belongs(self, entity: type[Entity], parent: Parent) -> Any:
        """The condition that a row of a kind refers to a parent, by a reference or by one in a list."""
        identifier = self._parent_id(parent)
        assert identifier is not None
        plural = entity.spec.plural
        if any(reference.name == parent.field for reference in links.of(entity.references(), plural)):
            return self._links.naming(plural, parent.field, [identifier])
        return ENTITY_ROWS[plural].column(reference_column(parent.field)) == identifier

    def count(self, entity: type[Entity]) -> int:
        """How many entities of a kind there are."""
        row = ENTITY_ROWS[entity.spec.plural]
        here = (row.org_id == self._session.org_id, row.control_plane_id == self._control_plane_id)
        return self._session.execute(select(func.count()).select_from(row).where(*here)).scalar_one()

    def count_naming(self, entity: type[Entity], parent: Parent) -> int:
        """How many entities of a kind name a parent in a list of references."""
        identifier = self._parent_id(parent)
        assert identifier is not None
        return self._links.count(entity.spec.plural, parent.field, identifier)

    def read_all(self, entity: type[Entity], identifiers: Sequence[UUID]) -> Sequence[Document]:
        """Those of these entities that there are, in the given order."""
        found = self._references.by_ids(entity.spec.plural, identifiers)
        order = {identifier: position for position, identifier in enumerate(identifiers)}
        return self._shown(ENTITY_ROWS[entity.spec.plural], sorted(found, key=lambda row: order[row.id]))

    def first(self, entity: type[Entity], references: Mapping[str, UUID]) -> Document | None:
        """The oldest entity that has all of these references."""
        found = self._references.first(entity.spec.plural, references)
        return None if found is None else self._shown_one(found)

    def require_control_plane(self) -> ControlPlane:
        """The control plane itself."""
        return ControlPlaneRepository(self._session).require(self._control_plane_id)

    def own_notation(self, entity: type[Entity], kind: str) -> Document | None:
        """The schema of a kind that the control plane's owner describes; None: they do not."""
        return entity.own_notation(kind, self._catalog)

    def check(self, entity: type[Entity], body: object) -> None:
        """Whether `create` would take a body, as far as the body alone tells. Raises InvalidEntity."""
        control_plane = self.require_control_plane()
        document = self._parse(entity, body)
        if control_plane.hosted and (violations := entity.gateway_faults(document, self._catalog)):
            raise InvalidEntity(violations)

    # --- writing ---------------------------------------------------------------------------------------------------

    def create(self, entity: type[Entity], body: object, parent: Parent | None = None) -> Document:
        """A new entity, with the id of the body or a new one.

        Raises: InvalidEntity, ReferenceMissing, KeyTaken (also for an id in use), UsageConstraint.
        """
        return self._write(lambda log: self._insert(entity, self._below(body, parent), None, log))

    def replace(self, entity: type[Entity], key: str, body: object, parent: Parent | None = None) -> Document:
        """The entity as the body says, nothing kept but its id and creation time; made if it is not there.

        Raises: as `create`, and InvalidRequest when the path names a new entity by something that is no UUID, or the
        body has another id than the path.
        """

        def run(log: ChangeLog) -> Document:
            document = self._below(body, parent)
            parent_id = self._parent_id(parent)
            row = self._references.by_key(entity.spec.plural, key, _place(parent, parent_id))
            if row is None and not is_uuid(key):
                raise InvalidRequest(f"'{key[:200]}' is not a valid uuid")
            identifier = UUID(key) if row is None else row.id
            _require_same_id(document, identifier)
            if row is None:
                return self._insert(entity, document, identifier, log)
            self._require_child(row, parent_id, parent)
            return self._update(row, self._parse(entity, document), log)

        return self._write(run)

    def change(self, entity: type[Entity], key: str, body: object, parent: Parent | None = None) -> Document:
        """The entity with the body laid over it: null unsets, records merge one level deep.

        Raises: as `create`, and InvalidRequest when the body has another id than the path.
        """

        def run(log: ChangeLog) -> Document:
            row = self._require(entity, key, self._parent_id(parent), parent)
            _require_same_id(body, row.id)
            return self._update(row, self._laid_over(row, self._below(body, parent)), log)

        return self._write(run)

    def delete(self, entity: type[Entity], key: str, parent: Parent | None = None) -> None:
        """Remove an entity and what belongs to it. Raises ReferencedByOthers while something else needs it."""

        def run(log: ChangeLog) -> None:
            self._remove(self._require(entity, key, self._parent_id(parent), parent), log)

        self._write(run)

    def delete_all(self, entity: type[Entity], parent: Parent) -> None:
        """Remove everything of a kind below a parent, as one version. Raises as `delete`."""

        def run(log: ChangeLog) -> None:
            identifier = self._parent_id(parent)
            assert identifier is not None
            for row in self._references.referring(entity.spec.plural, parent.field, identifier):
                self._remove(row, log)

        self._write(run)

    def replace_referent(self, entity: type[Entity], key: str, field: str, body: object) -> Document:
        """The entity that a reference of another one points at, as the body says; made, and pointed at, if it points nowhere.

        Raises: as `replace`.
        """

        def run(log: ChangeLog) -> Document:
            row = self._require(entity, key, None, None)
            kind, referent = self._referent(row, field)
            if referent is not None:
                _require_same_id(body, referent.id)
                return self._update(referent, self._parse(kind, body), log)
            made = self._insert(kind, body, None, log)
            self._update(row, self._laid_over(row, {field: {"id": made["id"]}}), log)
            return made

        return self._write(run)

    def change_referent(self, entity: type[Entity], key: str, field: str, body: object) -> Document:
        """The entity that a reference of another one points at, with the body laid over it. Raises as `change`."""

        def run(log: ChangeLog) -> Document:
            referent = self._require_referent(entity, key, field)
            _require_same_id(body, referent.id)
            return self._update(referent, self._laid_over(referent, body), log)

        return self._write(run)

    # --- steps -----------------------------------------------------------------------------------------------------

    def _write(self, operation: Callable[[ChangeLog], T]) -> T:
        control_plane = lock(self._session, self._control_plane_id)
        log = ChangeLog(self._session, self._actor, self._clock, control_plane, self._caps, self._sealer)
        result = operation(log)
        log.finish()
        return result

    def _remove(self, row: EntityRow, log: ChangeLog) -> None:
        for doomed in self._references.doomed(row):
            log.record(doomed.entity, rows.picture_of(doomed), None)
            self._session.delete(doomed)
            self._session.flush()  # one by one: children must be gone before their parents

    def _parent_id(self, parent: Parent | None) -> UUID | None:
        if parent is None:
            return None
        row = self._references.by_key(parent.plural, parent.key)
        if row is None:
            raise NotFound(self._declarations.entities[parent.plural].spec.singular, parent.key)
        return row.id

    def _require(self, entity: type[Entity], key: str, parent_id: UUID | None, parent: Parent | None) -> EntityRow:
        row = self._references.by_key(entity.spec.plural, key, _place(parent, parent_id))
        if row is None:
            raise NotFound(entity.spec.singular, key)
        self._require_child(row, parent_id, parent)
        return row

    def _referent(self, row: EntityRow, field: str) -> tuple[type[Entity], EntityRow | None]:
        """What a reference may point at, and what it points at."""
        reference = next(reference for reference in row.reference_fields if reference.name == field)
        identifier: UUID | None = getattr(row, reference_column(field))
        found = None if identifier is None else self._references.by_id(reference.ref.to, identifier)
        return self._declarations.entities[reference.ref.to], found

    def _require_referent(self, entity: type[Entity], key: str, field: str) -> EntityRow:
        kind, referent = self._referent(self._require(entity, key, None, None), field)
        if referent is None:
            raise NotFound(kind.spec.singular, key)
        return referent

    def _require_child(self, row: EntityRow, parent_id: UUID | None, parent: Parent | None) -> None:
        if parent is not None and getattr(row, reference_column(parent.field)) != parent_id:
            raise NotFound(row.entity.spec.singular, row.id)

    def _below(self, body: object, parent: Parent | None) -> object:
        """The body with the parent of the path as its reference, whatever the body says itself."""
        parent_id = self._parent_id(parent)
        if parent is None or not isinstance(body, dict):
            return body
        members: dict[Any, Any] = body
        return {**members, parent.field: {"id": str(parent_id)}}

    def _parse(self, entity: type[Entity], body: object) -> Document:
        try:
            return self._declarations.parse(entity, body, self._catalog)
        except SchemaViolation as error:
            raise InvalidEntity(error.violations) from None

    def _laid_over(self, row: EntityRow, change: object) -> Document:
        stored = self._sealer.open(row.entity, rows.document_of(row))
        try:
            return self._declarations.patch(row.entity, stored, change, self._catalog)
        except SchemaViolation as error:
            raise InvalidEntity(error.violations) from None

    def _insert(self, entity: type[Entity], body: object, identifier: UUID | None, log: ChangeLog) -> Document:
        document = self._parse(entity, body)
        row = ENTITY_ROWS[entity.spec.plural]()
        given: str | None = document["id"]
        row.id = identifier or (UUID(given) if given is not None else uuid4())
        row.control_plane_id = self._control_plane_id
        row.created_at = row.updated_at = self._clock.now()
        return self._save(row, document, None, log)

    def _update(self, row: EntityRow, document: Document, log: ChangeLog) -> Document:
        before = rows.picture_of(row)
        row.updated_at = self._clock.now()
        return self._save(row, document, before, log)

    def _save(self, row: EntityRow, document: Document, before: rows.Picture | None, log: ChangeLog) -> Document:
        entity = row.entity
        children = {name: document[name] for name in entity.child_names()}
        document = {name: value for name, value in document.items() if name not in children} | {"id": str(row.id)}
        document = self._references.resolve(entity, document)
        violations = [*hooks_of(entity).check(document, self._references)]
        if log.control_plane.hosted:
            violations += entity.gateway_faults(document, self._catalog)
        if violations:
            raise InvalidEntity(violations)
        digests = {name: self._sealer.digest(entity, name, document[name]) for name in row.hashed_fields}
        rows.write(row, self._sealer.seal(entity, document), digests)
        try:
            if before is None:
                if self._references.holds(entity.spec.plural, row.id):
                    raise KeyTaken(entity.spec.plural, {"id": document["id"]})
                self._session.add(row)
            self._session.flush()
            for reference in links.of(entity.references(), entity.spec.plural):
                there = links.identifiers(None if before is None else before.document[reference.name])
                wanted = links.identifiers(document[reference.name])
                if set(wanted) != set(there):
                    self._links.write(entity.spec.plural, row.id, reference.name, wanted)
        except IntegrityError as error:
            raise _refusal(error, row.entity, document) from None
        log.record(entity, before, rows.picture_of(row))
        for name, wanted in children.items():
            if wanted is not None:
                self._name_children(row, name, wanted, log)
        return self._shown_one(row)

    def _name_children(self, row: EntityRow, field: str, wanted: Sequence[str], log: ChangeLog) -> None:
        """Make and delete children until exactly those of these names are there."""
        child, reference, natural = self._children(row.entity, field)
        plural = child.spec.plural
        there = {getattr(found, natural): found for found in self._references.referring(plural, reference, row.id)}
        for name in sorted(there.keys() - set(wanted)):
            log.record(child, rows.picture_of(there[name]), None)
            self._session.delete(there[name])
        self._session.flush()
        for index, name in enumerate(wanted):
            if name in there:
                continue
            elsewhere = self._references.by_key(plural, name)
            if elsewhere is not None:
                owner = getattr(elsewhere, reference_column(reference))
                text = f"{name} already associated with existing {row.entity.spec.singular} '{owner}'"
                raise InvalidEntity([Violation(f"{field}[{index}]", text)])
            self._insert(child, {natural: name, reference: {"id": str(row.id)}}, None, log)

    def _children(self, entity: type[Entity], field: str) -> tuple[type[Entity], str, str]:
        """The kind that a field lists by name, its reference to this one, and its natural key."""
        child = self._declarations.entities[entity.child_names()[field]]
        reference = next(item.name for item in child.references() if item.ref.to == entity.spec.plural)
        assert child.spec.natural_key is not None
        return child, reference, child.spec.natural_key

    def _shown_one(self, row: EntityRow, *, merged: bool = False) -> Document:
        return self._shown(type(row), [row], merged=merged)[0]

    def _shown(
        self, kind: type[EntityRow], found: Sequence[rows.Columns], *, merged: bool = False
    ) -> Sequence[Document]:
        """Rows of one kind as their owner sees them."""
        entity = kind.entity
        documents = [self._sealer.open(entity, rows.document(kind, row)) for row in found]
        linked = self._name_linked(entity, documents)
        if merged:
            documents = [entity.merged(document, self._catalog) for document in documents]
        del linked  # until here the session has them at hand
        documents = [self._presented(entity, document) for document in documents]
        for field in entity.child_names():
            child, reference, natural = self._children(entity, field)
            names: dict[UUID, list[str]] = {row.id: [] for row in found}
            for item in self._references.referring_to_any(child.spec.plural, reference, list(names)):
                names[getattr(item, reference_column(reference))].append(getattr(item, natural))
            for row, document in zip(found, documents, strict=True):
                document[field] = names[row.id]
        return documents

    def _name_linked(self, entity: type[Entity], documents: Sequence[Document]) -> Sequence[EntityRow]:
        """Put the natural key of what is named beside its id, in lists of references that are records. Returns the named."""
        linked: list[EntityRow] = []
        for reference in links.of(entity.references(), entity.spec.plural):
            natural = self._declarations.entities[reference.ref.to].spec.natural_key
            listed = [item for document in documents for item in document[reference.name] or ()]
            if natural is None or not any(isinstance(item, dict) for item in listed):
                continue
            found = self._references.by_ids(reference.ref.to, links.identifiers(listed))
            linked += found
            names = {str(row.id): getattr(row, natural) for row in found}
            for document in documents:
                document[reference.name] = document[reference.name] and [
                    {"id": item["id"], natural: names[item["id"]], **item} for item in document[reference.name]
                ]
        return linked

    def _presented(self, entity: type[Entity], document: Document) -> Document:
        return rows.presented(entity, entity.presented(document, self._catalog))


def _place(parent: Parent | None, parent_id: UUID | None) -> tuple[str, UUID] | None:
    return None if parent is None or parent_id is None else (parent.field, parent_id)


def _require_same_id(body: object, identifier: UUID) -> None:
    if isinstance(body, dict):
        members: dict[Any, Any] = body
        given = members.get("id")
        if isinstance(given, str) and is_uuid(given) and UUID(given) != identifier:
            raise InvalidRequest("the id of the body must be the id of the path")


def _refusal(error: IntegrityError, entity: type[Entity], document: Document) -> Exception:
    """What a violated constraint means to the caller; an unknown one is our bug and stays what it is."""
    diagnosis: Any = getattr(error.orig, "diag", None)
    table: str = getattr(diagnosis, "table_name", None) or ""
    constraint: str = getattr(diagnosis, "constraint_name", None) or ""
    fields = constraint_fields(table, constraint)
    if fields is None:
        return error
    if constraint.startswith("fk_"):
        referent = next(reference.ref.to for reference in entity.references() if reference.name == fields[0])
        value: Any = document[fields[0]]
        named = ", ".join(map(str, links.identifiers(value))) if isinstance(value, list) else value["id"]
        return ReferenceMissing([MissingTarget(fields[0], referent, named)])
    values = {name: document[name] for name in fields}
    return KeyTaken(entity.spec.plural, values)
