"""The two database roles. They belong to the whole PostgreSQL cluster, not to one database."""

import time
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from core.db.engine import APP_ROLE, SYSTEM_ROLE

# duplicate_object, unique_violation, and internal_error ("tuple concurrently updated"): another database's migration
# was faster.
_RACES: Final = {"42710", "23505", "XX000"}
_ATTEMPTS: Final = 20


def ensure_roles(connection: Connection) -> None:
    """Create both roles (NOLOGIN) and grant them to the current login; harmless when that is done already.

    Needs a connection without an open transaction. Databases of one cluster may do this at once: the loser of a race
    finds the work done.
    """
    for role in (APP_ROLE, SYSTEM_ROLE):
        for attempt in range(_ATTEMPTS):
            try:
                with connection.begin():
                    _ensure_role(connection, role)
                break
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _RACES or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.05)


def _ensure_role(connection: Connection, role: str) -> None:
    if not connection.scalar(text("select 1 from pg_roles where rolname = :role"), {"role": role}):
        connection.execute(text(f"CREATE ROLE {role} NOLOGIN NOBYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE"))
    # A superuser may take any role; an explicit grant for it would only be one more thing to race on.
    if connection.scalar(text("select rolsuper from pg_roles where rolname = current_user")):
        return
    # Since PostgreSQL 16 membership alone does not allow SET ROLE.
    privilege = (
        "SET" if connection.scalar(text("select current_setting('server_version_num')::int >= 160000")) else "MEMBER"
    )
    if not connection.scalar(text(f"select pg_has_role(current_user, '{role}', '{privilege}')")):
        connection.execute(text(f"GRANT {role} TO CURRENT_USER"))
