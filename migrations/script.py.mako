"""${message}

Revision: ${up_revision}, after ${down_revision | comma,n}
"""

# The old version keeps running while this is applied, and may be started again afterwards. Therefore:
# - expand, backfill, contract: add what is new (nullable or with a default); fill it in a later migration or job; remove
#   what is old only when no running version reads or writes it. Renaming is adding and removing.
# - new indexes on existing tables: CREATE INDEX CONCURRENTLY inside op.get_context().autocommit_block().
# - new constraints on existing tables: NOT VALID first, VALIDATE CONSTRAINT in a second statement.
# - a tenant's table: org_id first in the primary key and in every foreign key, then protect_tenant_table().
# - row-level security binds the owner too: a backfill runs under SET LOCAL ROLE sluice_system.
# - the timeouts of env.py hold; a statement that needs longer than that belongs into a job.

import sqlalchemy as sa
from alembic import op

from migrations.policies import grant_system_table, protect_tenant_table
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
