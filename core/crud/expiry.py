"""The end of entities that live for so many seconds: deleted like anything else, with a change and a version of its own."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from core.actor import SystemActor
from core.clock import Clock
from core.control_planes.configuration import Caps
from core.crud import rows
from core.crud.changes import ChangeLog
from core.crud.sealing import Sealer
from core.crypto import KeyRing
from core.db.sessions import SystemSession, TenantSession
from core.models.control_plane import ControlPlane
from core.models.entities import ENTITY_ROWS
from schema.registry import registry

_ROWS = [row for row in ENTITY_ROWS.values() if row.entity.spec.ttl]


def places(session: SystemSession, now: datetime, most: int) -> Sequence[tuple[UUID, UUID]]:
    """Organizations and control planes that hold something whose time is over; at most so many."""
    found: dict[tuple[UUID, UUID], None] = {}
    for row in _ROWS:
        ended = select(row.org_id, row.control_plane_id).where(row.column("ends_at") <= now).distinct().limit(most)
        found |= dict.fromkeys((org_id, control_plane_id) for org_id, control_plane_id in session.execute(ended))
    return list(found)[:most]


def remove_ended(session: TenantSession, keyring: KeyRing, clock: Clock, control_plane_id: UUID, most: int) -> int:
    """Delete what has ended in one control plane, as one version; at most so many of each kind. Returns their number."""
    statement = select(ControlPlane).where(ControlPlane.id == control_plane_id).with_for_update(key_share=True)
    control_plane = session.scalars(statement).one_or_none()
    if control_plane is None:
        return 0
    sealer = Sealer(session, keyring, registry(), session.org_id, control_plane_id)
    log = ChangeLog(session, SystemActor("expiry"), clock, control_plane, Caps(), sealer)
    removed = 0
    for row in _ROWS:
        here = (row.control_plane_id == control_plane_id, row.column("ends_at") <= clock.now())
        for item in session.scalars(select(row).where(*here).order_by(row.column("ends_at")).limit(most)).all():
            log.record(item.entity, rows.picture_of(item), None)
            session.delete(item)
            removed += 1
    log.finish()
    return removed
