"""Who is a member of which group, and the locks that changes of either need.

A control plane's row is locked before those of its groups, and rows of a kind in the order of their ids: nobody waits for
somebody who waits for them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, select
from sqlalchemy.orm import Session

from core.control_planes.configuration import advance
from core.db.notices import publish_version
from core.models.control_plane import ControlPlane
from core.models.group_membership import GroupMembership


def members_of(session: Session, org_id: UUID, group_id: UUID) -> list[UUID]:
    """The members of a group, those first who have been members for longest."""
    statement = select(GroupMembership.member_id).where(
        GroupMembership.org_id == org_id, GroupMembership.group_id == group_id
    )
    return list(session.scalars(statement.order_by(GroupMembership.seq)))


def page_of(session: Session, org_id: UUID, group_id: UUID, size: int, after: int) -> list[tuple[ControlPlane, int]]:
    """Members with their numbers, which are above `after`, in order."""
    statement = (
        select(ControlPlane, GroupMembership.seq)
        .join(GroupMembership, _joined())
        .where(GroupMembership.org_id == org_id, GroupMembership.group_id == group_id, GroupMembership.seq > after)
    )
    return [(row, seq) for row, seq in session.execute(statement.order_by(GroupMembership.seq).limit(size))]


def lock(session: Session, org_id: UUID, identifiers: Iterable[UUID]) -> Sequence[ControlPlane]:
    """Those of these control planes that there are, held until the transaction ends."""
    statement = select(ControlPlane).where(ControlPlane.org_id == org_id, ControlPlane.id.in_(list(identifiers)))
    return _locked(session, statement.order_by(ControlPlane.id))


def lock_groups_of(session: Session, member: ControlPlane) -> Sequence[ControlPlane]:
    """The groups of a control plane that is locked already, held until the transaction ends."""
    groups = select(GroupMembership.group_id).where(
        GroupMembership.org_id == member.org_id, GroupMembership.member_id == member.id
    )
    statement = select(ControlPlane).where(ControlPlane.org_id == member.org_id, ControlPlane.id.in_(groups))
    return _locked(session, statement.order_by(ControlPlane.id))


def renew(session: Session, group: ControlPlane, now: datetime) -> None:
    """Make a version of a locked group whose members are others than before.

    It has no changes in the history, so runtimes get everything anew.
    """
    members = (
        select(ControlPlane.id, ControlPlane.entity_count, ControlPlane.config_bytes, ControlPlane.config_hash)
        .join(GroupMembership, _joined())
        .where(GroupMembership.org_id == group.org_id, GroupMembership.group_id == group.id)
        .order_by(GroupMembership.seq)
    )
    group.entity_count, group.config_bytes, content = 0, 0, b""
    for identifier, entities, size, config_hash in session.execute(members):
        group.entity_count += entities
        group.config_bytes += size
        content += identifier.bytes + bytes.fromhex(config_hash)
    version = advance(group, content, now)
    session.flush()
    publish_version(session, group.org_id, group.id, version)


def _joined() -> ColumnElement[bool]:
    return and_(GroupMembership.org_id == ControlPlane.org_id, GroupMembership.member_id == ControlPlane.id)


def _locked(session: Session, statement: Select[ControlPlane]) -> Sequence[ControlPlane]:
    # FOR NO KEY UPDATE: rows that merely refer to a control plane can be written meanwhile
    locking = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    return session.scalars(locking).all()
