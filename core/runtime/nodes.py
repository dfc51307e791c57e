"""Runtimes as the control plane knows them: by their heartbeats."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.runtime.node_ca import Node

HEARTBEAT_SECONDS: Final = 5
LIVE_SECONDS: Final = 3 * HEARTBEAT_SECONDS
"""A node that has been silent for longer counts as gone."""
FORGET_AFTER: Final = timedelta(days=1)

_HEARTBEAT = text(
    """
    insert into runtime_nodes (id, region, version, hostname, tenants, started_at, last_seen_at, created_at, updated_at)
    values (:id, :region, :version, :hostname, :tenants, :started_at, :now, :now, :now)
    on conflict (id) do update set region = excluded.region, version = excluded.version, hostname = excluded.hostname,
        tenants = excluded.tenants, started_at = excluded.started_at, last_seen_at = excluded.last_seen_at,
        updated_at = excluded.updated_at
    """
)
_SIGN_OF_LIFE = text(
    """
    insert into runtime_nodes (id, region, version, hostname, tenants, started_at, last_seen_at, created_at, updated_at)
    values (:id, :region, '', '', 0, :now, :now, :now, :now)
    on conflict (id) do update set last_seen_at = excluded.last_seen_at
    """
)
_LIVE = text("select count(*) from runtime_nodes where region = :region and last_seen_at > :since")
_FORGET = text("delete from runtime_nodes where last_seen_at < :before")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a node says about itself."""

    version: str
    hostname: str
    started_at: datetime
    tenants: int


def record_heartbeat(session: Session, node: Node, heartbeat: Heartbeat, now: datetime) -> None:
    """Note that a node is alive."""
    session.execute(
        _HEARTBEAT,
        {
            "id": str(node.node_id),
            "region": node.region,
            "version": heartbeat.version,
            "hostname": heartbeat.hostname,
            "tenants": heartbeat.tenants,
            "started_at": heartbeat.started_at,
            "now": now,
        },
    )


def record_sign_of_life(session: Session, node: Node, now: datetime) -> None:
    """Note that a node has called; its first heartbeat may still be on the way."""
    session.execute(_SIGN_OF_LIFE, {"id": str(node.node_id), "region": node.region, "now": now})


def count_live(session: Session, region: str, now: datetime) -> int:
    """How many nodes of the region are alive."""
    return session.execute(_LIVE, {"region": region, "since": live_since(now)}).scalar_one()


def forget_gone(session: Session, now: datetime) -> int:
    """Delete nodes, with their acknowledgements, that have been silent for a day; returns how many."""
    return session.execute(_FORGET, {"before": now - FORGET_AFTER}).rowcount  # type: ignore[attr-defined]


def live_since(now: datetime) -> datetime:
    """Nodes seen after this moment count as alive."""
    return now - timedelta(seconds=LIVE_SECONDS)
