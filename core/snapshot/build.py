"""Builds the updates that bring a runtime to the newest versions of control planes.

A control plane group's is made of its members' entities: all of them but those that lose a collision (core/groups/).
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from core.crud import rows
from core.crud.sealing import Sealer
from core.crypto import KeyRing, UnsealFailed
from core.db.engine import Database
from core.errors import NotFound
from core.gateways import limits
from core.groups.collisions import Members, Place, refers_to
from core.logging import get_logger
from core.models.entities import EntityRow
from core.runtime import assignments
from core.runtime.assignments import Assignment
from core.snapshot.read import MAX_DELTA_CHANGES, Changed, Holding, read
from core.snapshot.taken import TAKEN_KINDS, Taken, takers
from schema.base import Document
from schema.registry import Registry, registry
from schema.snapshot import Change, Delta, GatewaySettings, Limits, Snapshot, sorted_entities
from schema.terms import terms_hash

log = get_logger("core.snapshot")

MOST_ENTITIES_AT_ONCE: Final = 10_000
"""Of several control planes that are asked for together, as many are read at once as have so many entities, or one."""


@dataclass(frozen=True, slots=True)
class Built:
    """The answer for one of several control planes. No update: the region's runtimes do not serve it, or it `failed`."""

    control_plane_id: UUID
    update: Snapshot | Delta | None
    failed: bool = False


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
        for holding in self._read(region, {control_plane_id: from_version}):
            return self._update(holding, from_version)
        raise NotFound("control plane", control_plane_id)

    def build_many(self, region: str, have: Mapping[UUID, int | None]) -> Iterator[Built]:
        """The same for several control planes, each as of one moment; `have` names the versions to start from.

        The number of statements does not grow with the number of control planes, unless they are large. One that cannot
        be built stands alone: the others are given. No connection is held between two items.
        """
        for part in self._parts(region, have):
            missing = dict.fromkeys(part)
            for holding in self._read(region, part):
                key = holding.assignment.control_plane_id
                del missing[key]
                try:
                    update = self._update(holding, part[key])
                except Exception:  # whatever it is: thousands of others wait behind it
                    log.exception("snapshot.failed", control_plane_id=str(key))
                    yield Built(key, None, failed=True)
                else:
                    yield Built(key, update)
            for key in missing:
                yield Built(key, None)

    def _parts(self, region: str, have: Mapping[UUID, int | None]) -> Iterator[dict[UUID, int | None]]:
        """Parts that are small enough to be in memory together."""
        if len(have) == 1:
            yield dict(have)
            return
        with self._database.system() as session:
            sizes = {
                item.control_plane_id: item.entities
                for item in assignments.of_control_planes(session, region, list(have))
            }
        part: dict[UUID, int | None] = {}
        room = MOST_ENTITIES_AT_ONCE
        for key, from_version in have.items():
            size = sizes.get(key, 0)  # also for a step: it may turn out that history does not hold it
            if size > room and part:
                yield part
                part, room = {}, MOST_ENTITIES_AT_ONCE
            part[key] = from_version
            room -= size
        if part:
            yield part

    def _read(self, region: str, have: Mapping[UUID, int | None]) -> list[Holding]:
        with self._database.system() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            places = assignments.of_control_planes(session, region, list(have))
            holdings = read(session, places, have, partial(self._changed_with, session))
            for holding in holdings:
                if holding.changed is None and len(holding.sources) > 1:
                    sealer = _sealer(holding, self._keyring, self._declarations, session)
                    place = holding.assignment
                    try:
                        left_out = Members(session, sealer, place.organization_id, holding.sources).left_out()
                    except UnsealFailed as error:
                        holding.fault = error
                    else:
                        _leave_out(holding, left_out)
                if holding.fault is None:
                    self._merge(session, holding)
            return holdings

    def _changed_with(self, session: Session, holding: Holding, changed: Sequence[Changed]) -> Sequence[Changed] | None:
        """What changes because of what it takes from these; None if only all of the configuration tells."""
        if not any(plural in TAKEN_KINDS for plural, _ in changed):
            return []
        return self._taken(session, holding).changed_with(changed)

    def _merge(self, session: Session, holding: Holding) -> None:
        """Put together what takes something from others. Those are asked for one by one: most control planes have none."""
        found = takers(holding.rows)
        if not found:
            return
        taken = self._taken(session, holding)
        try:
            holding.merged = {row.id: taken.merged(row) for row in found}
        except UnsealFailed as error:
            holding.fault = error

    def _taken(self, session: Session, holding: Holding) -> Taken:
        sealer = _sealer(holding, self._keyring, self._declarations, session)
        sealers = {source: sealer.beside(source) for source in holding.sources}
        return Taken(session, self._declarations, holding.assignment.organization_id, sealers, MAX_DELTA_CHANGES)

    def _update(self, holding: Holding, from_version: int | None) -> Snapshot | Delta:
        if holding.fault is not None:
            raise holding.fault
        opened = _Opened(holding, self._keyring, self._declarations)
        assignment = holding.assignment
        head: dict[str, Any] = {
            "organization_id": str(assignment.organization_id),
            "control_plane_id": str(assignment.control_plane_id),
            "version": assignment.version,
            "hosts": assignment.hosts,
            "config_hash": assignment.config_hash,
            "settings": opened.settings(self._settings),
            "limits": self._limits_of(assignment),
        }
        if from_version is None or holding.changed is None:
            return Snapshot(**head, entities=opened.entities())
        return Delta(**head, from_version=from_version, changes=tuple(opened.changes(holding.changed)))


class _Opened:
    """What one control plane's runtimes get, as documents in clear."""

    def __init__(self, holding: Holding, keyring: KeyRing, declarations: Registry) -> None:
        self._rows = holding.rows
        sealer = _sealer(holding, keyring, declarations)
        self._sealers = {source: sealer.beside(source) for source in holding.sources}
        # one for all that a gateway serves together: a caller's key is hashed once
        self._credential_key = sealer.credential_key()
        self._merged = holding.merged

    def settings(self, common: GatewaySettings) -> GatewaySettings:
        """The installation's settings with this control plane's own."""
        return common.model_copy(update={"credential_key": base64.b64encode(self._credential_key).decode()})

    def entities(self) -> dict[str, list[Document]]:
        return sorted_entities({plural: map(self._document, kind) for plural, kind in self._rows.items()})

    def changes(self, changed: Sequence[tuple[str, UUID]]) -> Iterator[Change]:
        found = {(plural, row.id): row for plural, kind in self._rows.items() for row in kind}
        for plural, identifier in changed:
            row = found.get((plural, identifier))
            if row is None:
                yield Change(operation="delete", type=plural, id=str(identifier))
            else:
                yield Change(operation="put", type=plural, id=str(identifier), entity=self._document(row))

    def _document(self, row: EntityRow) -> Document:
        document = self._merged.get(row.id)
        if document is None:
            document = self._sealers[row.control_plane_id].open(row.entity, rows.document_of(row))
        return row.entity.for_gateways(document, self._credential_key)


def _sealer(holding: Holding, keyring: KeyRing, declarations: Registry, session: Session | None = None) -> Sealer:
    place = holding.assignment
    return Sealer(session, keyring, declarations, place.organization_id, place.control_plane_id, holding.key)


def _leave_out(holding: Holding, left_out: set[Place]) -> None:
    """Take entities of a group's members away, and what refers to them. Adds the latter to `left_out`."""
    if not left_out:
        return
    for plural, kind in holding.rows.items():  # parents first
        kept: list[EntityRow] = []
        for row in kind:
            place = (row.control_plane_id, plural, row.id)
            if refers_to(plural, rows.document_of(row), row.control_plane_id, left_out):
                left_out.add(place)
            if place not in left_out:
                kept.append(row)
        holding.rows[plural] = kept
