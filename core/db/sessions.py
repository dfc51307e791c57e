"""The two kinds of session: one organization's, and the system's. Code adds and flushes; whoever opened it commits."""

from itertools import chain
from typing import TypeVar
from uuid import UUID

from sqlalchemy import event, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, with_loader_criteria

from core.db.tenancy import TenantOwned, stamp

Row = TypeVar("Row")

_ANNOUNCE = text("select set_config('app.org_id', :org_id, true)")


class TenantSession(Session):
    """A session that sees and writes the rows of one organization only."""

    def __init__(self, bind: Engine, org_id: UUID) -> None:
        super().__init__(bind, expire_on_commit=False)
        self.org_id = org_id

    def find(self, model: type[Row], identifier: UUID) -> Row | None:
        """The row of a tenant table by its id, or None when this organization has no such row."""
        return self.get(model, (self.org_id, identifier))


class SystemSession(Session):
    """A session across organizations, for the work that has to be: token look-up, reconcilers, sweeps."""

    def __init__(self, bind: Engine) -> None:
        super().__init__(bind, expire_on_commit=False)


@event.listens_for(TenantSession, "after_begin")
def announce(session: TenantSession, _transaction: SessionTransaction, connection: Connection) -> None:
    """Tell PostgreSQL whose transaction this is; transaction-local, so a pooled connection cannot leak it."""
    connection.execute(_ANNOUNCE, {"org_id": str(session.org_id)})


@event.listens_for(TenantSession, "do_orm_execute")
def restrict(state: ORMExecuteState) -> None:
    """Add `org_id = <the session's>` for every tenant table of an ORM statement, aliases included."""
    if state.is_insert or state.is_column_load or state.is_relationship_load:
        return
    session = state.session
    assert isinstance(session, TenantSession)
    org_id = session.org_id
    state.statement = state.statement.options(
        with_loader_criteria(TenantOwned, lambda cls: cls.org_id == org_id, include_aliases=True)
    )


@event.listens_for(TenantSession, "before_flush")
def stamp_new(session: TenantSession, _context: object, _instances: object) -> None:
    """New rows get the session's organization; anything of another one stops the flush."""
    stamp(chain(session.new, session.dirty, session.deleted), session.org_id)
