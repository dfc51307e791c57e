"""Hands the outbox's jobs to the broker: at least once, in the order of writing, woken by the database.

Any number of dispatchers may run; each takes rows that no other holds. A row is deleted in the transaction in which its job
was handed over, so a dispatcher that dies in between leaves a job that is handed over again.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError

from core import logging
from core.clock import Clock
from core.db.engine import Database
from core.db.notices import NoticeBus
from core.db.outbox import CHANNEL
from core.models.outbox import OutboxMessage

log = logging.get_logger("workers.dispatcher")

BATCH: Final = 100
POLL_SECONDS: Final = 1.0
LONGEST_DELAY_SECONDS: Final = 60.0

Send = Callable[[str, UUID, UUID], None]
"""Hands over (topic, organization, subject). Raises whatever went wrong."""


class Dispatcher:
    """One dispatcher; `run` blocks its thread."""

    def __init__(self, database: Database, notices: NoticeBus, clock: Clock, send: Send) -> None:
        self._database = database
        self._notices = notices
        self._clock = clock
        self._send = send
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Have `run` return, within a second or so."""
        self._stopping.set()

    def run(self) -> None:
        """Dispatch until stopped."""
        for _ in self._notices.listen([CHANNEL], POLL_SECONDS):
            if self._stopping.is_set():
                return
            try:
                while self.dispatch_batch() == BATCH and not self._stopping.is_set():
                    pass
            except SQLAlchemyError as error:
                log.warning("outbox.unreachable", error=type(error).__name__)

    def dispatch_batch(self) -> int:
        """Hand over what is due, at most `BATCH` rows; returns how many rows were dealt with."""
        now = self._clock.now()
        with self._database.system() as session:
            due = (
                select(OutboxMessage)
                .where(OutboxMessage.available_at <= now)
                .order_by(OutboxMessage.available_at, OutboxMessage.id)
                .limit(BATCH)
                .with_for_update(skip_locked=True)
            )
            rows = session.scalars(due).all()
            jobs: dict[tuple[str, UUID, UUID], list[OutboxMessage]] = {}
            for row in rows:
                jobs.setdefault((row.topic, row.org_id, row.subject_id), []).append(row)
            done: list[int] = []
            for job, copies in jobs.items():
                if self._hand_over(job, copies, now):
                    done += [row.id for row in copies]
            session.execute(delete(OutboxMessage).where(OutboxMessage.id.in_(done)))
        return len(rows)

    def _hand_over(self, job: tuple[str, UUID, UUID], copies: list[OutboxMessage], now: datetime) -> bool:
        try:
            self._send(*job)
        except Exception as error:  # noqa: BLE001 - the broker's client raises its own kinds; the row stays in any case
            log.warning("outbox.delayed", topic=job[0], error=type(error).__name__)
            for row in copies:
                row.attempts += 1
                delay = min(LONGEST_DELAY_SECONDS, 0.2 * 2 ** min(row.attempts, 16))
                row.available_at = now + timedelta(seconds=delay)
            return False
        return True
