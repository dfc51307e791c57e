"""Jobs that must happen because a transaction happened: a row in the same transaction, and a wake-up for the dispatcher.

The dispatcher (workers/) takes rows in order with FOR UPDATE SKIP LOCKED, hands each to the broker and deletes it in
the same transaction: a job is delivered at least once, so every handler is idempotent and takes ids only.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.orm import Session

from core.models.outbox import OutboxMessage

CHANNEL: Final = "sluice_outbox"
_WAKE = text("select pg_notify('sluice_outbox', '')")


class Outbox:
    """Puts jobs into the caller's transaction; a rollback takes them back."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, topic: str, org_id: UUID, subject_id: UUID) -> None:
        """Have `topic` handled for `subject_id` once this transaction commits.

        Args:
            topic: the name of the task, `<noun>.<verb>`, for example `gateway_configuration.reconcile`.
            org_id: the organization that the subject belongs to.
            subject_id: what to work on; it may be gone by the time the task runs.
        """
        # The database's time, as the dispatcher's: a host whose clock is ahead must not hold up its own jobs.
        due = func.clock_timestamp()
        self._session.add(OutboxMessage(org_id=org_id, topic=topic, subject_id=subject_id, available_at=due))
        # PostgreSQL delivers at commit and folds equal notices of one transaction into one.
        self._session.execute(_WAKE)
