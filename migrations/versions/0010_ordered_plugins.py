"""Find the few plugins that wish for a place in the order without reading all of them.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_plugins_with_ordering",
        "plugins",
        ["org_id", "control_plane_id"],
        postgresql_where=sa.text("(doc -> 'ordering') <> 'null'::jsonb"),
    )


def downgrade() -> None:
    op.drop_index("ix_plugins_with_ordering", table_name="plugins")
