"""Alembic's entry point. `migrations.runner` hands over a connection; the `alembic` command (new revisions) takes -x url=."""

from typing import Final

from alembic import context
from sqlalchemy import Connection, create_engine, text

from core.db.engine import parse_url
from core.models import Base

# A migration that waits for a lock makes everyone else wait behind it: better to fail and be run again.
_LOCK_TIMEOUT: Final = "5s"
_STATEMENT_TIMEOUT: Final = "10min"


def _migrate(connection: Connection) -> None:
    connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET statement_timeout = '{_STATEMENT_TIMEOUT}'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    # Each migration has committed; this ends the transaction in which Alembic looked at the version.
    connection.commit()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    engine = create_engine(parse_url(context.get_x_argument(as_dictionary=True)["url"]))
    with engine.connect() as own:
        _migrate(own)
