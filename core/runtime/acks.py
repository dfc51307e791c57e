"""Runtimes' reports on the configuration they were given."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.db.outbox import Outbox
from core.gateways.topics import RECONCILE_CONFIGURATION
from core.runtime.node_ca import Node

# A node speaks for control planes of its region only, and of versions that exist.
_RECORD = text(
    """
    with given as (
        select * from jsonb_to_recordset(cast(:items as jsonb))
            as item(control_plane_id uuid, version bigint, accepted boolean, errors jsonb, config_hash text)
    ), known as (
        select distinct grp.org_id, grp.control_plane_id, control_plane.config_version
        from dataplane_groups grp
        join control_planes control_plane on control_plane.org_id = grp.org_id and control_plane.id = grp.control_plane_id
        where grp.region = :region and grp.control_plane_id in (select control_plane_id from given)
    )
    insert into runtime_acks as ack
        (org_id, control_plane_id, node_id, version, accepted, errors, running_version, config_hash, reported_at)
    select known.org_id, known.control_plane_id, :node_id, given.version, given.accepted, given.errors,
           case when given.accepted then given.version end, given.config_hash, :now
    from given join known using (control_plane_id)
    where given.version <= known.config_version
    on conflict (org_id, control_plane_id, node_id) do update set version = excluded.version,
        accepted = excluded.accepted, errors = excluded.errors, config_hash = excluded.config_hash,
        running_version = coalesce(excluded.running_version, ack.running_version), reported_at = excluded.reported_at
    """
)
_REMOVE = text("delete from runtime_acks where node_id = :node_id and control_plane_id = any(:control_plane_ids)")
_WAITING = text(
    """
    select distinct org_id, configuration_id from dataplane_groups
    where region = :region and control_plane_id = any(:control_plane_ids)
      and state in ('created', 'initializing', 'terminating')
    """
)
_LEFT_OVER = text(
    """
    select ack.control_plane_id from runtime_acks ack
    where ack.node_id = :node_id and not exists (
        select 1 from dataplane_groups grp
        where grp.org_id = ack.org_id and grp.control_plane_id = ack.control_plane_id
          and grp.region = :region and grp.assigned_version is not null)
    """
)
MOST_ITEMS: Final = 1000


@dataclass(frozen=True, slots=True)
class Ack:
    """One report. `removed`: the node serves the control plane no longer; the other fields say nothing then."""

    control_plane_id: UUID
    version: int
    accepted: bool
    errors: Sequence[dict[str, Any]]
    config_hash: str
    removed: bool = False


def record(session: Session, node: Node, acks: Sequence[Ack], now: datetime) -> None:
    """Store what a node reports and wake the reconcilers of configurations that wait for it.

    Needs a session across organizations. Control planes that the node's region does not serve are passed over.
    """
    by_control_plane = {ack.control_plane_id: ack for ack in acks}
    applied = [ack for ack in by_control_plane.values() if not ack.removed]
    removed = [ack.control_plane_id for ack in by_control_plane.values() if ack.removed]
    if removed:
        session.execute(_REMOVE, {"node_id": str(node.node_id), "control_plane_ids": removed})
    if applied:
        items = [
            {
                "control_plane_id": str(ack.control_plane_id),
                "version": ack.version,
                "accepted": ack.accepted,
                "errors": list(ack.errors),
                "config_hash": ack.config_hash,
            }
            for ack in applied
        ]
        parameters = {"items": json.dumps(items), "region": node.region, "node_id": str(node.node_id), "now": now}
        session.execute(_RECORD, parameters)
    outbox = Outbox(session)
    waiting = session.execute(_WAITING, {"region": node.region, "control_plane_ids": list(by_control_plane)})
    for org_id, configuration_id in waiting.all():
        outbox.put(RECONCILE_CONFIGURATION, org_id, configuration_id)


def left_over(session: Session, node: Node) -> list[UUID]:
    """Control planes that the node is on record for and is not to serve.

    A node that died while it let go of one does not know of it any more; somebody has to remind it, or the control plane's
    gateway would be ending for ever.
    """
    parameters = {"node_id": str(node.node_id), "region": node.region}
    return list(session.scalars(_LEFT_OVER, parameters))
