"""Runtimes as the control plane knows them: by their heartbeats.

The database's clock says when one was seen and how long ago that is: API and workers may run on hosts that do not agree on the
time, and a node is alive or not by seconds.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.runtime.node_ca import Node

HEARTBEAT_SECONDS: Final = 5
LIVE_SECONDS: Final = 3 * HEARTBEAT_SECONDS
"""A node that has been silent for longer counts as gone."""
FORGET_AFTER_SECONDS: Final = 24 * 3600

_HEARTBEAT = text(
    """
    insert into runtime_nodes (id, region, version, hostname, tenants, started_at, last_seen_at, created_at, updated_at)
    values (:id, :region, :version, :hostname, :tenants, :started_at, now(), now(), now())
    on conflict (id) do update set region = excluded.region, version = excluded.version, hostname = excluded.hostname,
        tenants = excluded.tenants, started_at = excluded.started_at, last_seen_at = excluded.last_seen_at,
        updated_at = excluded.updated_at
    """
)
_SIGN_OF_LIFE = text(
    """
    insert into runtime_nodes (id, region, version, hostname, tenants, started_at, last_seen_at, created_at, updated_at)
    values (:id, :region, '', '', 0, now(), now(), now(), now())
    on conflict (id) do update set last_seen_at = excluded.last_seen_at
    """
)
_FORGET = text("delete from runtime_nodes where last_seen_at < now() - make_interval(secs => :seconds)")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a node says about itself."""

    version: str
    hostname: str
    started_at: datetime
    tenants: int


def record_heartbeat(session: Session, node: Node, heartbeat: Heartbeat) -> None:
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
        },
    )


def record_sign_of_life(session: Session, node: Node) -> None:
    """Note that a node has called; its first heartbeat may still be on the way."""
    session.execute(_SIGN_OF_LIFE, {"id": str(node.node_id), "region": node.region})


def forget_gone(session: Session) -> int:
    """Delete nodes, with their acknowledgements, that have been silent for a day; returns how many."""
    return session.execute(_FORGET, {"seconds": FORGET_AFTER_SECONDS}).rowcount  # type: ignore[attr-defined]
