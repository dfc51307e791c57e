"""Row-level security and grants, for migrations to call after CREATE TABLE.

Frozen in meaning: a change of policy is a new function and a new migration, never an edit that makes old migrations do
something else.
"""

from alembic import op

from core.db.engine import APP_ROLE, SYSTEM_ROLE

# Unset, the setting is '' or NULL: no organization, no rows.
_CURRENT_ORG = "nullif(current_setting('app.org_id', true), '')::uuid"


def protect_tenant_table(table: str, *, column: str = "org_id") -> None:
    """Force row-level security: the application role sees one organization, the system role all of them."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} FOR ALL TO {APP_ROLE} "
        f"USING ({column} = {_CURRENT_ORG}) WITH CHECK ({column} = {_CURRENT_ORG})"
    )
    op.execute(f"CREATE POLICY system ON {table} FOR ALL TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP_ROLE}, {SYSTEM_ROLE}")


def grant_system_table(table: str) -> None:
    """A table of the installation itself: the application role has no business there."""
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {SYSTEM_ROLE}")
