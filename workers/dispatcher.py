"""Hands the outbox's jobs to the broker: at least once, in the order of writing, woken by the database.

Any number of dispatchers may run; each takes rows that no other holds. A row is deleted in the transaction in which its job
was handed over, so a dispatcher that dies in between leaves a job that is handed over again.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select

from core import logging
from core.db.engine import Database
from core.db.notices import NoticeBus
from core.db.outbox import CHANNEL
from core.models.outbox import OutboxMessage

log = logging.get_logger("workers.dispatcher")

BATCH: Final = 100
POLL_SECONDS: Final = 1.0
LONGEST_DELAY_SECONDS: Final = 60.0

Send = Callable[[str, UUID, UUID], None]
"""Hands over (topic, organization, subject). Raises BrokerUnreachable, or whatever is wrong with this job."""


class BrokerUnreachable(Exception):
    """Nothing can be handed over now; no job is to blame."""


class Dispatcher:
    """One dispatcher; `run` blocks its thread."""

    def __init__(self, database: Database, notices: NoticeBus, send: Send) -> None:
        self._database = database
        self._notices = notices
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
            except Exception as error:  # noqa: BLE001 - without this thread nothing would be handed over any more
                log.warning("outbox.delayed", error=type(error).__name__)

    def dispatch_batch(self) -> int:
        """Hand over what is due, at most `BATCH` rows; returns how many rows were dealt with.

        A broker that cannot be reached leaves all rows as they are, to be tried again at the next poll. A job that fails by
        itself steps aside, further with each attempt.
        """
        with self._database.system() as session:
            due = (
                select(OutboxMessage)
                .where(OutboxMessage.available_at <= func.clock_timestamp())
                .order_by(OutboxMessage.available_at, OutboxMessage.id)
                .limit(BATCH)
                .with_for_update(skip_locked=True)
            )
            jobs: dict[tuple[str, UUID, UUID], list[OutboxMessage]] = {}
            for row in session.scalars(due):
                jobs.setdefault((row.topic, row.org_id, row.subject_id), []).append(row)
            dealt_with = 0
            done: list[int] = []
            for job, copies in jobs.items():
                try:
                    self._send(*job)
                    done += [row.id for row in copies]
                except BrokerUnreachable:
                    # Each further try would cost the connection's time-out, with all rows locked.
                    log.warning("outbox.broker_unreachable")
                    break
                except Exception as error:  # noqa: BLE001 - it is this job's alone, whatever it is
                    log.error("outbox.job_failed", topic=job[0], error=type(error).__name__)  # noqa: TRY400
                    _put_off(copies)
                dealt_with += len(copies)
            if done:
                session.execute(delete(OutboxMessage).where(OutboxMessage.id.in_(done)))
        return dealt_with


def _put_off(copies: list[OutboxMessage]) -> None:
    for row in copies:
        row.attempts += 1
        delay = min(LONGEST_DELAY_SECONDS, 0.2 * 2 ** min(row.attempts, 16))
        row.available_at = func.clock_timestamp() + timedelta(seconds=delay)
