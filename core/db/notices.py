"""Notices between processes: "something about X changed, look". They carry names, never state, and may be lost.

Listeners treat every notice as a hint and look at the tables; they also look when nothing was heard for a while. With
PostgreSQL a notice is part of the transaction: nobody hears of a change before it can be read.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.db.engine import SYSTEM_ROLE, driver_url

# Payload "<org_id> <control_plane_id> <version>": a control plane's configuration has a new version.
CONFIG_CHANNEL: Final = "sluice_config"
# Payload "<region> <control_plane_id>": whether a region serves a control plane, or under which hosts, has changed. A
# payload of the region alone stands for all of its control planes.
ASSIGNMENTS_CHANNEL: Final = "sluice_assignments"
# Payload "<control_plane_id>": there are orders for runtimes that serve the control plane (core/health/orders.py).
ORDERS_CHANNEL: Final = "sluice_orders"

_NOTIFY = text("select pg_notify(:channel, :payload)")
_RECONNECT_SECONDS: Final = 0.5
# A server that vanished without a word is noticed within half a minute, not when TCP gives up after hours.
_CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One hint. `channel` says what kind, `payload` about what."""

    channel: str
    payload: str


class NoticeBus(Protocol):
    """How processes hear that they should look; telling is part of a transaction (`publish`)."""

    def listen(self, channels: Sequence[str], quiet_seconds: float) -> Generator[Notice | None]:
        """Notices as they come; None when some may have been missed or nothing came for `quiet_seconds`: look then."""
        ...

    def listen_async(self, channels: Sequence[str], quiet_seconds: float) -> AsyncGenerator[Notice | None]:
        """The same for an event loop."""
        ...


def publish(session: Session, channel: str, payload: str) -> None:
    """Tell listeners of `channel` once the session's transaction has committed (PostgreSQL NOTIFY)."""
    session.execute(_NOTIFY, {"channel": channel, "payload": payload})


def publish_version(session: Session, org_id: UUID, control_plane_id: UUID, version: int) -> None:
    """Tell runtimes, once the transaction has committed, that a control plane's configuration has a new version."""
    publish(session, CONFIG_CHANNEL, f"{org_id} {control_plane_id} {version}")


def publish_assignment(session: Session, region: str, control_plane_id: UUID) -> None:
    """Tell runtimes of `region`, once the transaction has committed, to look at one control plane's assignment."""
    publish(session, ASSIGNMENTS_CHANNEL, f"{region} {control_plane_id}")


class PostgresNotices:
    """NoticeBus over LISTEN and NOTIFY. Each listener holds one connection of its own and reconnects by itself."""

    def __init__(self, url: str) -> None:
        self._conninfo = driver_url(url)

    def listen(self, channels: Sequence[str], quiet_seconds: float) -> Generator[Notice | None]:
        """See NoticeBus. Starts with None (look once now) and never ends; the consumer stops by closing it."""
        while True:
            try:
                with psycopg.connect(self._conninfo, autocommit=True, **_CONNECT) as connection:
                    for statement in _subscribe(channels):
                        connection.execute(statement)
                    yield None
                    while True:
                        quiet = True
                        for notify in connection.notifies(timeout=quiet_seconds, stop_after=1):
                            quiet = False
                            yield Notice(notify.channel, notify.payload)
                        if quiet:
                            yield None
            except psycopg.Error:
                yield None
                time.sleep(_RECONNECT_SECONDS)

    async def listen_async(self, channels: Sequence[str], quiet_seconds: float) -> AsyncGenerator[Notice | None]:
        """See NoticeBus. Starts with None (look once now) and never ends; the consumer stops by closing it."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, **_CONNECT
                ) as connection:
                    for statement in _subscribe(channels):
                        await connection.execute(statement)
                    yield None
                    while True:
                        quiet = True
                        async for notify in connection.notifies(timeout=quiet_seconds, stop_after=1):
                            quiet = False
                            yield Notice(notify.channel, notify.payload)
                        if quiet:
                            yield None
            except psycopg.Error:
                yield None
                await asyncio.sleep(_RECONNECT_SECONDS)


def _subscribe(channels: Sequence[str]) -> list[sql.Composed]:
    statements = [sql.SQL("SET ROLE {}").format(sql.Identifier(SYSTEM_ROLE))]
    statements += [sql.SQL("LISTEN {}").format(sql.Identifier(channel)) for channel in channels]
    return statements
