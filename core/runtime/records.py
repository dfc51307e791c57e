"""Runtimes as one control plane knows them: those that have reported on its configuration.

A runtime belongs to no organization, so reading needs a session across organizations; what is read is what it said about
this control plane, and who it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.db.notices import publish_assignment
from core.db.sessions import TenantSession
from core.errors import NotFound
from core.models.runtime_ack import RuntimeAck
from core.runtime.nodes import LIVE_SECONDS
from schema.snapshot import EMPTY_CONFIG_HASH
from schema.version import VERSION

_SELECT: Final = """
    select node.id, node.version, node.hostname, node.region, node.last_seen_at, node.created_at, ack.reported_at,
           ack.accepted, ack.errors, ack.running_version, ack.config_hash
    from runtime_acks ack join runtime_nodes node on node.id = ack.node_id
    where ack.org_id = :org_id and ack.control_plane_id = :control_plane_id {more}
    order by ack.node_id
"""
_SOME = text(_SELECT.format(more="and ack.node_id > :after") + " limit :size")
_ALL = text(_SELECT.format(more=""))
_ONE = text(_SELECT.format(more="and ack.node_id = :node_id"))
_REFUSING = text(
    _SELECT.format(more="and not ack.accepted and node.last_seen_at > now() - make_interval(secs => :seconds)")
)
_COUNT = text(
    "select count(*) from runtime_acks ack where ack.org_id = :org_id and ack.control_plane_id = :control_plane_id"
)
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One runtime and its last report on a control plane.

    Attributes:
        version, hostname: as it says itself; empty until its first heartbeat.
        accepted, errors: whether it took the newest version that it reported on, and why not.
        running_version, config_hash: of what it runs; None and zeros for nothing.
    """

    id: str
    version: str
    hostname: str
    region: str
    last_seen_at: datetime
    created_at: datetime
    reported_at: datetime
    accepted: bool
    errors: Sequence[Mapping[str, Any]]
    running_version: int | None
    config_hash: str

    @property
    def outdated(self) -> bool:
        """Its release is older than the control plane's: the next one may not speak with it any more."""
        own, other = _RELEASE.match(VERSION), _RELEASE.match(self.version)
        if own is None or other is None:
            return False
        return tuple(map(int, other.groups())) < tuple(map(int, own.groups()))


def page(session: Session, org_id: UUID, control_plane_id: UUID, size: int, after: str) -> tuple[list[NodeRecord], int]:
    """Records with ids above `after`, in their order, and how many there are in all."""
    whose = {"org_id": org_id, "control_plane_id": control_plane_id}
    found = session.execute(_SOME, {**whose, "after": after, "size": size})
    return [_record(row) for row in found], session.execute(_COUNT, whose).scalar_one()


def outdated(session: Session, org_id: UUID, control_plane_id: UUID) -> list[NodeRecord]:
    """Records of runtimes that are due for an upgrade."""
    found = session.execute(_ALL, {"org_id": org_id, "control_plane_id": control_plane_id})
    return [record for record in map(_record, found) if record.outdated]


def refusing(session: Session, org_id: UUID, control_plane_id: UUID) -> list[NodeRecord]:
    """Records of live runtimes that did not take what they were given last."""
    parameters = {"org_id": org_id, "control_plane_id": control_plane_id, "seconds": LIVE_SECONDS}
    return [_record(row) for row in session.execute(_REFUSING, parameters)]


def one(session: Session, org_id: UUID, control_plane_id: UUID, node_id: UUID) -> NodeRecord:
    """One record. Raises NotFound."""
    parameters = {"org_id": org_id, "control_plane_id": control_plane_id, "node_id": str(node_id)}
    found = session.execute(_ONE, parameters).one_or_none()
    if found is None:
        raise NotFound("node", node_id)
    return _record(found)


def forget(session: TenantSession, control_plane_id: UUID, record: NodeRecord) -> None:
    """Remove a record. A runtime that is alive is asked at once, and comes back with its answer."""
    row = session.get(RuntimeAck, (session.org_id, control_plane_id, record.id))
    if row is not None:
        session.delete(row)
        session.flush()
    publish_assignment(session, record.region, control_plane_id)


def _record(row: Any) -> NodeRecord:
    *known, config_hash = row
    return NodeRecord(*known, config_hash=config_hash or EMPTY_CONFIG_HASH)
