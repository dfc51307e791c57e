"""The two kinds of session: one organization's, and the system's. Code adds and flushes; whoever opened it commits."""

from collections.abc import Callable
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption

from core.db.tenancy import TenantOwned, stamp

if TYPE_CHECKING:
    import psycopg

Row = TypeVar("Row")

_ANNOUNCE: Final = "begin; select set_config('app.org_id', '{}', true)"
_KEY_HAS_ORGANIZATION: Final = "tenant_key"
BY_KEY: Final[dict[str, Any]] = {_KEY_HAS_ORGANIZATION: True}
"""Of statements that name the organization themselves: adding the condition once more costs more than the rest of them."""


class TenantSession(Session):
    """A session that sees and writes the rows of one organization only."""

    def __init__(self, bind: Engine, org_id: UUID) -> None:
        super().__init__(bind, expire_on_commit=False)
        self.org_id = org_id
        self._after_commit: list[Callable[[], None]] = []

    @cached_property
    def own_rows(self) -> ExecutableOption:
        """The condition that restricts a statement to this organization; made once, for it is dear to make."""
        org_id = self.org_id
        return with_loader_criteria(TenantOwned, lambda cls: cls.org_id == org_id, include_aliases=True)

    def after_commit(self, action: Callable[[], None]) -> None:
        """Have `action` called once this transaction has committed; a rollback drops it. It must not use the session."""
        self._after_commit.append(action)

    def take_actions(self) -> list[Callable[[], None]]:
        """What `after_commit` collected, once."""
        taken, self._after_commit = self._after_commit, []
        return taken

    def find(self, model: type[Row], identifier: UUID) -> Row | None:
        """The row of a tenant table by its id, or None when this organization has no such row."""
        return self.get(model, (self.org_id, identifier), execution_options=BY_KEY)


class SystemSession(Session):
    """A session across organizations, for the work that has to be: token look-up, reconcilers, sweeps."""

    def __init__(self, bind: Engine) -> None:
        super().__init__(bind, expire_on_commit=False)


@event.listens_for(TenantSession, "after_begin")
def announce(session: TenantSession, transaction: SessionTransaction, connection: Connection) -> None:
    """Begin, and tell PostgreSQL whose transaction it is; transaction-local, so a pooled connection cannot leak it."""
    if transaction.nested:
        return  # a savepoint, within a transaction that has begun already
    # Straight to the driver and in one round trip: this runs in every transaction, and SQLAlchemy would triple its cost.
    # The driver begins nothing by itself on these connections (core/db/engine.py).
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    driver.execute(_ANNOUNCE.format(session.org_id).encode(), prepare=False)


@event.listens_for(TenantSession, "after_commit")
def act(session: TenantSession) -> None:
    """Do what was to be done once others can see the changes; the end of a savepoint is not that."""
    if session.in_nested_transaction():
        return
    for action in session.take_actions():
        action()


@event.listens_for(TenantSession, "after_rollback")
def forget(session: TenantSession) -> None:
    """What did not happen has no consequences."""
    session.take_actions()


@event.listens_for(TenantSession, "do_orm_execute")
def restrict(state: ORMExecuteState) -> None:
    """Add `org_id = <the session's>` for every tenant table of an ORM statement, aliases included."""
    if state.is_insert or state.is_column_load or state.is_relationship_load:
        return
    if state.execution_options.get(_KEY_HAS_ORGANIZATION):
        return
    session = state.session
    assert isinstance(session, TenantSession)
    state.statement = state.statement.options(session.own_rows)


@event.listens_for(TenantSession, "before_flush")
def stamp_new(session: TenantSession, _context: object, _instances: object) -> None:
    """New rows get the session's organization; anything of another one stops the flush."""
    stamp(chain(session.new, session.dirty, session.deleted), session.org_id)
