"""Builds the update that brings a runtime to a control plane's newest version."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.crud import rows
from core.crud.sealing import Sealer
from core.crypto import KeyRing
from core.db.engine import Database
from core.errors import NotFound
from core.models.config_change import ConfigChange
from core.models.control_plane import ControlPlane
from core.models.dataplane_group import DataplaneGroup
from core.models.entities import ENTITY_ROWS
from schema.base import Document
from schema.registry import Registry, registry
from schema.snapshot import Change, Delta, GatewaySettings, Limits, Snapshot, sorted_entities

MAX_DELTA_CHANGES: Final = 1000
"""A runtime further behind than this gets everything: cheaper than replaying so much history."""

_ENDING: Final = ("terminating", "terminated")


class UpdateBuilder:
    """Reads control planes across organizations; secrets leave in clear, so the result goes to runtimes only."""

    def __init__(
        self, database: Database, keyring: KeyRing, limits: Limits, declarations: Registry | None = None
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._limits = limits
        self._declarations = declarations or registry()

    def build(self, org_id: UUID, control_plane_id: UUID, from_version: int | None = None) -> Snapshot | Delta:
        """The step from `from_version` to now, or everything if there is no such step: no version given, history
        missing, too many changes, or a version that this control plane has not reached (a restored database).

        All of it is as of one moment. Raises: NotFound: no such control plane in this organization.
        """
        with self._database.system() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            reader = _Reader(session, self._keyring, self._declarations, org_id, control_plane_id)
            version, hosts = reader.version(), reader.hosts()
            changes = None if from_version is None else reader.changes(from_version, version)
            if from_version is None or changes is None:
                return Snapshot(
                    organization_id=str(org_id),
                    control_plane_id=str(control_plane_id),
                    version=version,
                    hosts=hosts,
                    settings=GatewaySettings(),
                    limits=self._limits,
                    entities=reader.entities(),
                )
            return Delta(
                organization_id=str(org_id),
                control_plane_id=str(control_plane_id),
                from_version=from_version,
                version=version,
                hosts=hosts,
                settings=GatewaySettings(),
                limits=self._limits,
                changes=tuple(changes),
            )


class _Reader:
    def __init__(
        self, session: Session, keyring: KeyRing, declarations: Registry, org_id: UUID, control_plane_id: UUID
    ) -> None:
        self._session = session
        self._declarations = declarations
        self._org_id = org_id
        self._control_plane_id = control_plane_id
        self._sealer = Sealer(session, keyring, declarations, org_id, control_plane_id)

    def version(self) -> int:
        found = self._session.scalars(
            select(ControlPlane.config_version).where(
                ControlPlane.org_id == self._org_id, ControlPlane.id == self._control_plane_id
            )
        ).one_or_none()
        if found is None:
            raise NotFound("control plane", self._control_plane_id)
        return found

    def hosts(self) -> tuple[str, ...]:
        statement = select(DataplaneGroup.hostname).where(
            DataplaneGroup.org_id == self._org_id,
            DataplaneGroup.control_plane_id == self._control_plane_id,
            DataplaneGroup.hostname.is_not(None),
            DataplaneGroup.state.not_in(_ENDING),
        )
        return tuple(sorted({host for host in self._session.scalars(statement) if host is not None}))

    def entities(self) -> dict[str, list[Document]]:
        found: dict[str, list[Document]] = {}
        for plural, row in ENTITY_ROWS.items():
            statement = select(row).where(row.org_id == self._org_id, row.control_plane_id == self._control_plane_id)
            found[plural] = [
                self._sealer.open(row.entity, rows.document_of(item)) for item in self._session.scalars(statement)
            ]
        return sorted_entities(found)

    def changes(self, from_version: int, version: int) -> list[Change] | None:
        """The last change of each entity after a version, in order; None if the step cannot be made from history."""
        if from_version > version:
            return None
        after = (
            ConfigChange.org_id == self._org_id,
            ConfigChange.control_plane_id == self._control_plane_id,
            ConfigChange.version > from_version,
            ConfigChange.version <= version,
        )
        statement = select(func.count(), func.min(ConfigChange.version)).where(*after)
        count, oldest = self._session.execute(statement).one()
        if count > MAX_DELTA_CHANGES or (version > from_version and oldest != from_version + 1):
            return None
        history = self._session.scalars(
            select(ConfigChange).where(*after).order_by(ConfigChange.version, ConfigChange.seq)
        ).all()
        return [self._change(item) for item in _last_of_each(history)]

    def _change(self, item: ConfigChange) -> Change:
        if item.after is None:
            return Change(operation="delete", type=item.entity_type, id=str(item.entity_id))
        entity = self._declarations.entities[item.entity_type]
        document = self._sealer.open(entity, item.after)
        return Change(operation="put", type=item.entity_type, id=str(item.entity_id), entity=document)


def _last_of_each(history: Sequence[ConfigChange]) -> list[ConfigChange]:
    last: dict[tuple[str, UUID], ConfigChange] = {}
    for item in history:
        key = (item.entity_type, item.entity_id)
        last.pop(key, None)
        last[key] = item
    return list(last.values())
