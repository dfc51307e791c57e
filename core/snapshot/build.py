"""Builds the update that brings a runtime to a control plane's newest version.

A control plane group's is made of its members' entities: all of them but those that lose a collision (core/groups/).
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, literal, select, union_all
from sqlalchemy.orm import Session

from core.crud import rows
from core.crud.sealing import Sealer
from core.crypto import KeyRing
from core.db.engine import Database
from core.errors import NotFound
from core.gateways import limits
from core.groups.collisions import Members, Place, refers_to
from core.groups.members import members_of
from core.models.config_change import ConfigChange
from core.models.entities import ENTITY_ROWS, EntityRow
from core.runtime import assignments
from core.runtime.assignments import Assignment
from schema.base import Document
from schema.registry import Registry, registry
from schema.snapshot import Change, Delta, GatewaySettings, Limits, Snapshot, sorted_entities
from schema.terms import terms_hash

_ROWS: Final = {plural: row for plural, row in ENTITY_ROWS.items() if row.entity.spec.gateways}

_KINDS_IN_USE: Final = union_all(
    *(
        select(literal(plural)).where(
            select(row.id)
            .where(
                row.org_id == bindparam("org_id"), row.control_plane_id == any_(bindparam("sources", type_=ARRAY(Uuid)))
            )
            .exists()
        )
        for plural, row in _ROWS.items()
    )
)
"""Most control planes have few kinds of entities: one question saves a runtime that starts most of the others."""

MAX_DELTA_CHANGES: Final = 1000
"""A runtime further behind than this gets everything: cheaper than replaying so much history."""


class UpdateBuilder:
    """Reads control planes across organizations; secrets leave in clear, so the result goes to runtimes only."""

    def __init__(
        self,
        database: Database,
        keyring: KeyRing,
        common: Limits,
        settings: GatewaySettings | None = None,
        declarations: Registry | None = None,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._settings = settings or GatewaySettings()
        self._limits = common
        self._declarations = declarations or registry()

    @property
    def terms(self) -> str:
        """What stands in every update beside a control plane's own configuration, as a hash (schema/terms.py).

        It follows the installation's settings, not the control planes' versions: a runtime that holds other terms has to
        fetch again even when its version is the newest.
        """
        return self._terms_under(self._limits)

    def own_terms(self, assignment: Assignment) -> str:
        """The same for an organization with limits of its own; "" for one that has everybody's."""
        return "" if assignment.own_limits is None else self._terms_under(self._limits_of(assignment))

    def _limits_of(self, assignment: Assignment) -> Limits:
        return limits.with_own(self._limits, assignment.own_limits)

    def _terms_under(self, bounds: Limits) -> str:
        return terms_hash(self._settings.model_dump(mode="json"), bounds.model_dump(mode="json"))

    def build(self, region: str, control_plane_id: UUID, from_version: int | None = None) -> Snapshot | Delta:
        """The step from `from_version` to now, or everything if there is no such step: no version given, history
        missing, too many changes, or a version that this control plane has not reached (a restored database).

        All of it is as of one moment. Raises: NotFound: the region's runtimes do not serve such a control plane.
        """
        with self._database.system() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            assignment = assignments.of_control_plane(session, region, control_plane_id)
            if assignment is None:
                raise NotFound("control plane", control_plane_id)
            reader = _Reader(session, self._keyring, self._declarations, assignment)
            changes = None if from_version is None else reader.changes(from_version)
            if from_version is None or changes is None:
                return Snapshot(
                    organization_id=str(assignment.organization_id),
                    control_plane_id=str(control_plane_id),
                    version=assignment.version,
                    hosts=assignment.hosts,
                    config_hash=assignment.config_hash,
                    settings=reader.settings(self._settings),
                    limits=self._limits_of(assignment),
                    entities=reader.entities(),
                )
            return Delta(
                organization_id=str(assignment.organization_id),
                control_plane_id=str(control_plane_id),
                from_version=from_version,
                version=assignment.version,
                hosts=assignment.hosts,
                config_hash=assignment.config_hash,
                settings=reader.settings(self._settings),
                limits=self._limits_of(assignment),
                changes=tuple(changes),
            )


class _Reader:
    """Reads what the runtimes of one assignment get. `_sources`: the control planes whose entities that are."""

    def __init__(self, session: Session, keyring: KeyRing, declarations: Registry, assignment: Assignment) -> None:
        self._session = session
        self._org_id = assignment.organization_id
        self._control_plane_id = assignment.control_plane_id
        self._version = assignment.version
        self._sources = [assignment.control_plane_id]
        if assignment.is_group:
            self._sources = members_of(session, assignment.organization_id, assignment.control_plane_id)
        self._sealer = Sealer(session, keyring, declarations, self._org_id, self._control_plane_id)
        self._sealers = {source: self._sealer.beside(source) for source in self._sources}
        # one for all that a gateway serves together: a caller's key is hashed once
        self._credential_key = self._sealer.credential_key()

    def settings(self, common: GatewaySettings) -> GatewaySettings:
        """The installation's settings with this control plane's own."""
        return common.model_copy(update={"credential_key": base64.b64encode(self._credential_key).decode()})

    def entities(self) -> dict[str, list[Document]]:
        whose = {"org_id": self._org_id, "sources": self._sources}
        used = set(self._session.scalars(_KINDS_IN_USE, whose))
        left_out = Members(self._session, self._sealer, self._org_id, self._sources).left_out()
        found: dict[str, list[Document]] = {plural: [] for plural in _ROWS}
        for plural, row in _ROWS.items():  # parents first: what refers to something that is left out is left out too
            if plural in used:
                found[plural] = [self._for_gateways(item) for item in self._rows(row) if self._is_in(item, left_out)]
        return sorted_entities(found)

    def _is_in(self, row: EntityRow, left_out: set[Place]) -> bool:
        if not left_out:
            return True
        plural, source = row.entity.spec.plural, row.control_plane_id
        if refers_to(plural, rows.document_of(row), source, left_out):
            left_out.add((source, plural, row.id))
        return (source, plural, row.id) not in left_out

    def changes(self, from_version: int) -> list[Change] | None:
        """The last change of each entity after a version, in order; None if the step cannot be made from history.

        History says which entities changed; how they are now is read from where snapshots read it. So both agree also
        about a field that was declared after the change was recorded.
        """
        if from_version > self._version:
            return None
        statement = (
            select(ConfigChange.version, ConfigChange.entity_type, ConfigChange.entity_id)
            .where(
                ConfigChange.org_id == self._org_id,
                ConfigChange.control_plane_id == self._control_plane_id,
                ConfigChange.version > from_version,
                ConfigChange.version <= self._version,
            )
            .order_by(ConfigChange.version, ConfigChange.seq)
            .limit(MAX_DELTA_CHANGES + 1)
        )
        history = self._session.execute(statement).all()
        # Every version has a change of its own: one that is missing was forgotten, and what it did with it.
        whole = len({version for version, _, _ in history}) == self._version - from_version
        if len(history) > MAX_DELTA_CHANGES or not whole or any(kind not in ENTITY_ROWS for _, kind, _ in history):
            return None
        shown = [(kind, identifier) for _, kind, identifier in history if kind in _ROWS]
        return self._as_they_are(_last_of_each(shown))

    def _as_they_are(self, changed: Sequence[tuple[str, UUID]]) -> list[Change]:
        found = {
            plural: {
                row.id: self._for_gateways(row)
                for row in self._rows(ENTITY_ROWS[plural], [key for kind, key in changed if kind == plural])
            }
            for plural in {kind for kind, _ in changed}
        }
        return [
            Change(operation="delete", type=kind, id=str(identifier))
            if identifier not in found[kind]
            else Change(operation="put", type=kind, id=str(identifier), entity=found[kind][identifier])
            for kind, identifier in changed
        ]

    def _rows(self, row: type[EntityRow], only: Sequence[UUID] | None = None) -> Iterable[EntityRow]:
        statement = select(row).where(row.org_id == self._org_id, row.control_plane_id.in_(self._sources))
        if only is not None:
            statement = statement.where(row.id.in_(only))
        return self._session.scalars(statement)

    def _for_gateways(self, row: EntityRow) -> Document:
        document = self._sealers[row.control_plane_id].open(row.entity, rows.document_of(row))
        return row.entity.for_gateways(document, self._credential_key)


def _last_of_each(history: Sequence[tuple[str, UUID]]) -> list[tuple[str, UUID]]:
    """Each entity once, where it occurs last."""
    return list(dict.fromkeys(reversed(history)))[::-1]
