"""The whole configuration of a control plane: taken out, and replaced by another one as one version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select

from core.actor import Actor
from core.clock import Clock
from core.control_planes.configuration import Caps
from core.control_planes.repository import ControlPlaneRepository
from core.crud import links, rows
from core.crud.changes import ChangeLog, lock
from core.crud.errors import InvalidConfiguration
from core.crud.hooks import hooks_of
from core.crud.links import Links
from core.crud.sealing import Sealer
from core.crud.settled import Settled
from core.crypto import KeyRing
from core.db.sessions import TenantSession
from core.models.control_plane import ControlPlane
from core.models.entities import ENTITY_ROWS, EntityRow, reference_column
from schema.base import Document
from schema.declarative import DeclarativeError, Loaded
from schema.registry import Registry, registry

_TIMES: Final = ("created_at", "updated_at")
_Place = tuple[str, UUID]
_Before = tuple[rows.Picture, datetime, datetime]
"""A row as it was; when it was created, and last written."""


@dataclass(slots=True)
class _Plan:
    """What becomes of each entity.

    Attributes:
        gone: rows that are not wanted any more.
        moved: rows that are taken out and put in again, because a key or a reference of theirs changes, or what they refer
            to is taken out: so no order of single steps has to keep keys unique and references whole.
        changed: rows that are written in place.
        new: wanted documents that have no row.
        rows: what is there and stays, and what was put in; held, for the session itself forgets rows that nobody holds.
    """

    gone: dict[_Place, EntityRow] = field(default_factory=dict[_Place, EntityRow])
    moved: dict[_Place, EntityRow] = field(default_factory=dict[_Place, EntityRow])
    changed: dict[_Place, EntityRow] = field(default_factory=dict[_Place, EntityRow])
    new: set[_Place] = field(default_factory=set[_Place])
    differs: set[_Place] = field(default_factory=set[_Place])
    rows: dict[_Place, EntityRow] = field(default_factory=dict[_Place, EntityRow])

    @property
    def is_empty(self) -> bool:
        return not (self.gone or self.moved or self.changed or self.new)


class WholeConfiguration:
    """All entities of one control plane at once, within the caller's transaction.

    Every method raises NotFound for a control plane that is not there or belongs to another organization.
    """

    def __init__(
        self,
        session: TenantSession,
        keyring: KeyRing,
        clock: Clock,
        actor: Actor,
        control_plane_id: UUID,
        *,
        caps: Caps,
        declarations: Registry | None = None,
    ) -> None:
        self._session = session
        self._clock = clock
        self._actor = actor
        self._control_plane_id = control_plane_id
        self._caps = caps
        self._declarations = declarations or registry()
        place = (session.org_id, control_plane_id)
        self._sealer = Sealer(session, keyring, self._declarations, *place)
        self._links = Links(session, *place)

    def require(self) -> ControlPlane:
        """The control plane itself."""
        return ControlPlaneRepository(self._session).require(self._control_plane_id)

    def entities(self) -> dict[str, list[Document]]:
        """Every kind that there are entities of, oldest first, in clear; what has no value is left out."""
        self.require()
        found = {plural: self._rows(plural) for plural in self._declarations.entities}
        return {plural: [self._exported(row) for row in kind] for plural, kind in found.items() if kind}

    def _exported(self, row: EntityRow) -> Document:
        document = rows.presented(row.entity, self._clear(row))
        return {name: value for name, value in document.items() if value is not None and name not in _TIMES}

    def replace(self, loaded: Loaded) -> bool:
        """Have exactly these entities. What stays the same is not touched; returns whether anything was.

        Raises: InvalidConfiguration: what `loaded` says is wrong, or what only the database can tell; UsageConstraint.
        """
        control_plane = lock(self._session, self._control_plane_id)
        if loaded.errors:
            raise InvalidConfiguration(loaded.errors)
        wanted = {
            (plural, UUID(document["id"])): document
            for plural, documents in loaded.entities.items()
            for document in documents
        }
        plan = self._plan(wanted)
        if plan.is_empty:
            return False
        log = ChangeLog(self._session, self._actor, self._clock, control_plane, self._caps, self._sealer)
        before = {
            place: (rows.picture_of(row), row.created_at, row.updated_at)
            for part in (plan.gone, plan.moved, plan.changed)
            for place, row in part.items()
        }
        self._take_out(plan)
        self._put_in(plan, wanted, before)
        self._check(plan, wanted, loaded)
        self._note(plan, wanted, before, log)
        log.finish()
        return True

    def _plan(self, wanted: Mapping[_Place, Document]) -> _Plan:
        plan = _Plan()
        there: set[_Place] = set()
        for plural in self._declarations.entities:  # what is referred to comes first
            for row in self._rows(plural):
                place = (plural, row.id)
                there.add(place)
                if place not in wanted:
                    plan.gone[place] = row
                    continue
                plan.rows[place] = row
                stored, document = self._clear(row), wanted[place]
                if differs := any(stored[name] != document[name] for name in stored if name not in _TIMES):
                    plan.differs.add(place)
                if self._has_to_move(row, stored, document, plan):
                    plan.moved[place] = row
                elif differs:
                    plan.changed[place] = row
        plan.new = wanted.keys() - there
        return plan

    def _has_to_move(self, row: EntityRow, stored: Document, document: Document, plan: _Plan) -> bool:
        references = [reference.name for reference in row.reference_fields]
        if any(stored[name] != document[name] for name in (*row.key_fields, *row.hashed_fields, *references)):
            return True
        for reference in row.reference_fields:
            place = (reference.ref.to, getattr(row, reference_column(reference.name)))
            if place in plan.gone or place in plan.moved:
                return True
        named = (
            (reference.ref.to, identifier)
            for reference in links.of(row.entity.references(), row.entity.spec.plural)
            for identifier in links.identifiers(stored[reference.name])
        )
        return any(place in plan.gone or place in plan.moved for place in named)

    def _take_out(self, plan: _Plan) -> None:
        for plural in reversed(list(self._declarations.entities)):
            for part in (plan.gone, plan.moved):
                for (kind, _), row in part.items():
                    if kind == plural:
                        self._session.delete(row)
            self._session.flush()  # kind by kind: children must be gone before their parents

    def _put_in(
        self,
        plan: _Plan,
        wanted: Mapping[_Place, Document],
        before: Mapping[_Place, _Before],
    ) -> None:
        now = self._clock.now()
        for plural in self._declarations.entities:
            for place in [place for place in (*plan.moved, *plan.new) if place[0] == plural]:
                row = ENTITY_ROWS[plural]()
                row.id = place[1]
                row.control_plane_id = self._control_plane_id
                earlier = before.get(place)
                row.created_at = now if earlier is None else earlier[1]
                row.updated_at = now if earlier is None or place in plan.differs else earlier[2]
                self._write(row, wanted[place])
                self._session.add(row)
                plan.rows[place] = row
            for place, row in plan.changed.items():
                if place[0] == plural:
                    row.updated_at = now
                    self._write(row, wanted[place])
            self._session.flush()
            self._link(plural, plan, wanted)

    def _link(self, plural: str, plan: _Plan, wanted: Mapping[_Place, Document]) -> None:
        """Lists of references as rows, for what is not as it was."""
        entity = self._declarations.entities[plural]
        for reference in links.of(entity.references(), plural):
            for place in (*plan.moved, *plan.changed, *plan.new):
                if place[0] == plural:
                    named = links.identifiers(wanted[place][reference.name])
                    if named or place in plan.changed:  # the others have no such rows
                        self._links.write(plural, place[1], reference.name, named)

    def _write(self, row: EntityRow, document: Document) -> None:
        digests = {name: self._sealer.digest(row.entity, name, document[name]) for name in row.hashed_fields}
        rows.write(row, self._sealer.seal(row.entity, document), digests)

    def _check(self, plan: _Plan, wanted: Mapping[_Place, Document], loaded: Loaded) -> None:
        """The rules that need the database, for all that is not as it was."""
        errors: list[DeclarativeError] = []
        neighbours = Settled(plan.rows)
        for place in (*plan.moved, *plan.changed, *plan.new):
            entity, document = self._declarations.entities[place[0]], wanted[place]
            errors += (
                loaded.wrong(place[0], document["id"], wrong) for wrong in hooks_of(entity).check(document, neighbours)
            )
        if errors:
            raise InvalidConfiguration(errors)

    def _note(
        self,
        plan: _Plan,
        wanted: Mapping[_Place, Document],
        before: Mapping[_Place, _Before],
        log: ChangeLog,
    ) -> None:
        for place, row in plan.gone.items():
            log.record(row.entity, before[place][0], None)
        for place in wanted:
            if place in plan.differs or place in plan.new:
                row = plan.rows[place]
                earlier = before.get(place)
                log.record(row.entity, None if earlier is None else earlier[0], rows.picture_of(row))

    def _rows(self, plural: str) -> Sequence[EntityRow]:
        row = ENTITY_ROWS[plural]
        statement = select(row).where(row.control_plane_id == self._control_plane_id)
        return self._session.scalars(statement.order_by(row.created_at, row.id)).all()

    def _clear(self, row: EntityRow) -> dict[str, Any]:
        return self._sealer.open(row.entity, rows.document_of(row))
