"""Forgetting what nobody needs any more."""

from datetime import timedelta
from typing import Final

from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import text

from core import logging
from core.clock import Clock
from core.crud import expiry
from core.crypto import KeyRing
from core.db.engine import Database
from core.runtime import nodes

log = logging.get_logger("workers.retention")

KEEP_CHANGES: Final = timedelta(days=30)
KEEP_VERSIONS: Final = 1000
"""Per control plane, however old: runtimes that were away for a while still get a delta."""
MOST_PER_RUN: Final = 50_000
MOST_PLACES_PER_SWEEP: Final = 200
MOST_ENDED_AT_ONCE: Final = 500
"""In one version of one control plane; what is left waits for the next sweep."""
OUTBOX_DAYS: Final = timedelta(days=7)

_CHANGES = text(
    """
    delete from config_changes where ctid in (
        select change.ctid from config_changes change
        join control_planes control_plane
            on control_plane.org_id = change.org_id and control_plane.id = change.control_plane_id
        where change.created_at < :before and change.version <= control_plane.config_version - :keep
        limit :most
    )
    """
)
_OUTBOX = text("delete from outbox where created_at < :before and attempts > 0")
_LEASES = text("delete from leases where expires_at < clock_timestamp() - interval '1 day'")


def sweep_ended(database: Database, keyring: KeyRing, clock: Clock) -> None:
    """Delete entities whose time is over, each control plane's in a transaction of its own."""
    with database.system() as session:
        found = expiry.places(session, clock.now(), MOST_PLACES_PER_SWEEP)
    for org_id, control_plane_id in found:
        try:
            with database.tenant(org_id) as session:
                removed = expiry.remove_ended(session, keyring, clock, control_plane_id, MOST_ENDED_AT_ONCE)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # one that always fails must not keep the others from being looked at
            log.exception("sweep.expiry_failed", org_id=str(org_id), control_plane_id=str(control_plane_id))
        else:
            log.info("entities.ended", org_id=str(org_id), control_plane_id=str(control_plane_id), number=removed)


def prune(database: Database, clock: Clock) -> None:
    """Delete old change records, jobs that could not be handed over for a week, dead nodes and old leases."""
    now = clock.now()
    with database.system() as session:
        parameters = {"before": now - KEEP_CHANGES, "keep": KEEP_VERSIONS, "most": MOST_PER_RUN}
        session.execute(_CHANGES, parameters)
        given_up = session.execute(_OUTBOX, {"before": now - OUTBOX_DAYS}).rowcount  # type: ignore[attr-defined]
        session.execute(_LEASES)
        nodes.forget_gone(session)
    log.info("history.pruned", given_up_jobs=given_up)
