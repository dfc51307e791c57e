"""Connections. One login, two roles: `sluice_app` under row-level security, `sluice_system` across organizations.

Neither role owns a table or is a superuser; both are taken by SET ROLE right after connecting, so a deployment needs
one login only and a query under the application role cannot see another tenant even when it is built by hand.
"""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, LiteralString, cast
from uuid import UUID

import psycopg
from sqlalchemy import URL, create_engine, event, make_url, text
from sqlalchemy.engine import Connection, Engine, ExceptionContext
from sqlalchemy.exc import OperationalError

from core.db.sessions import SystemSession, TenantSession
from core.errors import DatabaseUnreachable

APP_ROLE: Final = "sluice_app"
SYSTEM_ROLE: Final = "sluice_system"


def parse_url(url: str) -> URL:
    """The address with our driver, whatever driver (or none) it names."""
    return make_url(url).set(drivername="postgresql+psycopg")


def driver_url(url: str) -> str:
    """The address in the form that psycopg itself takes."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Database:
    """One PostgreSQL database. Make one per process, in the composition root, after any fork."""

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        """Nothing connects yet.

        Args:
            url: postgresql://… of a login that may take both roles.
            pool_size: most connections per role; at least the number of threads that run requests.
        """
        self.url = url
        self.app_engine = _role_engine(url, APP_ROLE, pool_size)
        _leave_beginning_to_sessions(self.app_engine)
        self.system_engine = _role_engine(url, SYSTEM_ROLE, pool_size)
        # For single look-ups on the way of every request: the driver's connections, taken straight from a pool.
        self._lookup_engine = _role_engine(url, SYSTEM_ROLE, pool_size, isolation_level="AUTOCOMMIT")
        self._engines = (self.app_engine, self.system_engine, self._lookup_engine)
        for engine in self._engines:
            _drop_on_disconnect(engine, self._engines)
        # Single statements that need no transaction skip BEGIN and COMMIT: one round trip instead of three.
        self._autocommit_engine = self.system_engine.execution_options(isolation_level="AUTOCOMMIT")

    def tenant_session(self, org_id: UUID) -> TenantSession:
        """A session of one organization that the caller commits and closes; connects on first use."""
        return TenantSession(self.app_engine, org_id)

    @contextmanager
    def tenant(self, org_id: UUID) -> Generator[TenantSession]:
        """One transaction of one organization: committed at the end of the block, rolled back on an exception."""
        with TenantSession(self.app_engine, org_id) as session, session.begin():
            yield session

    @contextmanager
    def system(self) -> Generator[SystemSession]:
        """One transaction across organizations: committed at the end of the block, rolled back on an exception."""
        with SystemSession(self.system_engine) as session, session.begin():
            yield session

    @contextmanager
    def system_autocommit(self) -> Generator[Connection]:
        """A connection across organizations on which every statement is its own transaction."""
        with self._autocommit_engine.connect() as connection:
            yield connection

    def look_up(self, query: LiteralString, parameters: tuple[object, ...]) -> tuple[Any, ...] | None:
        """The first row of one query across organizations, in driver's terms (`%s`); None when there is none.

        A third of the cost of the same through SQLAlchemy. Tries twice: after a restart of the server the pool may hold
        dead connections. Raises DatabaseUnreachable.
        """
        for attempt in (1, 2):
            try:
                pooled = self._lookup_engine.raw_connection()
            except (OperationalError, psycopg.OperationalError) as error:
                raise DatabaseUnreachable("the database does not answer") from error
            try:
                driver = cast("psycopg.Connection[tuple[Any, ...]]", pooled.driver_connection)
                return driver.execute(query, parameters).fetchone()
            except psycopg.OperationalError as error:
                pooled.invalidate(error)
                for engine in self._engines:
                    engine.dispose()
                if attempt == 2:
                    raise DatabaseUnreachable("the database does not answer") from error
            finally:
                pooled.close()
        raise AssertionError("unreachable: the second attempt returns or raises")

    def check(self) -> None:
        """Raise DatabaseUnreachable unless the database answers."""
        try:
            with self.system_autocommit() as connection:
                connection.execute(text("select 1"))
        except OperationalError as error:
            raise DatabaseUnreachable("the database does not answer", context={"error": str(error.orig)}) from None

    def close(self) -> None:
        """Close all idle connections."""
        for engine in self._engines:
            engine.dispose()


_decode: Final = json.JSONDecoder().decode


def _json(content: bytes | str) -> Any:
    """What PostgreSQL sends is UTF-8; finding that out takes `json.loads` as long as reading a small document."""
    return _decode(content if isinstance(content, str) else content.decode())


def _role_engine(url: str, role: str, pool_size: int, **options: Any) -> Engine:
    engine = create_engine(
        parse_url(url),
        **options,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        # Parameters of a failed statement can be secrets.
        hide_parameters=True,
        json_deserializer=_json,
        connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
    )

    @event.listens_for(engine, "connect")
    def take_role(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {role}")
        connection.commit()

    assert callable(take_role)
    return engine


def _leave_beginning_to_sessions(engine: Engine) -> None:
    """Have the driver send no BEGIN: a tenant's session does, together with whose it is (core/db/sessions.py)."""

    @event.listens_for(engine, "connect")
    def leave(connection: psycopg.Connection, _record: object) -> None:
        connection.autocommit = True

    assert callable(leave)


def _drop_on_disconnect(engine: Engine, engines: tuple[Engine, ...]) -> None:
    """When one pool meets a dead connection, forget the idle connections of all.

    After a restart of the server every pooled connection is dead. SQLAlchemy replaces the pool that noticed; without
    this each other one would fail a request of its own. Pinging before each use would cost every request a round trip.
    """

    @event.listens_for(engine, "handle_error")
    def on_error(failure: ExceptionContext) -> None:
        if failure.is_disconnect:
            for other in engines:
                if other is not engine:
                    other.dispose()

    assert callable(on_error)
