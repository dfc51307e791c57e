"""Leases: at most one process works on a named thing, and a dead one gives way when its time is up.

The database's clock decides, so hosts need not agree on the time. A lease is advice, not a lock: work under it must stay
correct if the holder stalls longer than the lease lives.
"""

from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import text

from core.db.engine import Database

_TAKE = text(
    """
    insert into leases as held (name, holder, expires_at)
    values (:name, :holder, clock_timestamp() + make_interval(secs => :ttl))
    on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at
    where held.expires_at < clock_timestamp()
    returning holder
    """
)
_RELEASE = text("delete from leases where name = :name and holder = :holder")


@contextmanager
def lease(database: Database, name: str, holder: str, ttl_seconds: float) -> Generator[bool]:
    """Try to hold `name`; yields whether it is held. Given back at the end of the block, whatever happens in it.

    Args:
        database: any process's database; no transaction stays open while the lease is held.
        name: what is worked on, for example `gateway_configuration:<id>`.
        holder: who works, for people who look at the table; each acquisition is told apart anyway.
        ttl_seconds: after this long the lease is free again, even if the holder is gone. Longer than the work.
    """
    token = f"{holder}/{uuid4().hex}"
    with database.system_autocommit() as connection:
        held = connection.execute(_TAKE, {"name": name, "holder": token, "ttl": ttl_seconds}).first() is not None
    try:
        yield held
    finally:
        if held:
            with database.system_autocommit() as connection:
                connection.execute(_RELEASE, {"name": name, "holder": token})
