"""Brings a database to the schema of this version. Works from an installed package, with no configuration file."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from core.db.engine import parse_url
from core.errors import DatabaseTooOld, DatabaseUnreachable, OperatorError, SchemaOutdated, SchemaTooNew
from migrations.roles import ensure_roles

# Any number, but always the same one: two migrators of one database meet at this lock.
_MIGRATION_LOCK: Final = 7_305_811_442
_OLDEST_SERVER: Final = 150000
_WAIT_SECONDS: Final = 300.0

# Alembic keeps its context in module globals: one migration per process at a time.
_ONE_PER_PROCESS: Final = threading.Lock()


class MigrationBusy(OperatorError):
    """Another migration of the same database did not end in time."""

    code = "migration-busy"


def upgrade(url: str, revision: str = "head") -> str:
    """Apply what is missing up to `revision` and return the revision the database is at then.

    Safe to run from several hosts at once: one works, the others wait and find nothing to do.

    Raises:
        DatabaseUnreachable, DatabaseTooOld: the server is not there, or older than PostgreSQL 15.
        SchemaTooNew: a newer version of Sluice has migrated this database.
        MigrationBusy: another migration has been running for five minutes.
    """
    with _exclusive(url) as connection:
        _refuse_newer(connection)
        ensure_roles(connection)
        command.upgrade(_config(connection), revision)
        return _current(connection) or ""


def downgrade(url: str, revision: str) -> None:
    """Take migrations back down to `revision` ("base" for all). Drops data; for tests and emergencies."""
    with _exclusive(url) as connection:
        _refuse_newer(connection)
        command.downgrade(_config(connection), revision)


def check(url: str) -> None:
    """Raise unless the database is exactly at this version's schema: SchemaTooNew or SchemaOutdated."""
    with _connect(url) as connection:
        _refuse_newer(connection)
        found = _current(connection)
        if found != head():
            raise SchemaOutdated(found, head())


def head() -> str:
    """The newest revision that this version knows."""
    newest = scripts().get_current_head()
    assert newest is not None
    return newest


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    # ConfigParser interpolates percent signs.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def scripts() -> ScriptDirectory:
    """All migrations that this version knows."""
    return ScriptDirectory.from_config(_config())


def _current(connection: Connection) -> str | None:
    with connection.begin():
        return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(connection: Connection) -> None:
    found = _current(connection)
    if found is not None and found not in {script.revision for script in scripts().walk_revisions()}:
        raise SchemaTooNew(found, head())


@contextmanager
def _connect(url: str) -> Generator[Connection]:
    engine = create_engine(
        parse_url(url), poolclass=NullPool, hide_parameters=True, connect_args={"connect_timeout": 5}
    )
    try:
        connection = engine.connect()
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise DatabaseUnreachable(f"cannot connect to the database: {reason}") from None
    with connection:
        with connection.begin():
            server = connection.scalar(text("select current_setting('server_version_num')::int"))
        if server < _OLDEST_SERVER:
            raise DatabaseTooOld(f"the database runs PostgreSQL {server // 10000}; 15 or newer is needed")
        yield connection


@contextmanager
def _exclusive(url: str) -> Generator[Connection]:
    with _ONE_PER_PROCESS, _connect(url) as connection:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not _try_lock(connection):
            if time.monotonic() > deadline:
                raise MigrationBusy("another migration of this database does not end")
            time.sleep(0.1)
        try:
            yield connection
        finally:
            # The session ends here and with it the lock, also after an error left a transaction open.
            connection.invalidate()


def _try_lock(connection: Connection) -> bool:
    with connection.begin():
        return bool(connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": _MIGRATION_LOCK}))
