"""Config stores of control planes, and the secrets in them.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

from migrations.policies import protect_tenant_table

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "config_stores",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name="fk_config_stores_control_plane",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_config_stores")),
    )
    op.create_index(
        "ix_config_stores_age", "config_stores", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "config_store_secrets",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(collation="C"), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "store_id"],
            ["config_stores.org_id", "config_stores.control_plane_id", "config_stores.id"],
            name="fk_config_store_secrets_store",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "org_id", "control_plane_id", "store_id", "key", name=op.f("pk_config_store_secrets")
        ),
    )
    protect_tenant_table("config_stores")
    protect_tenant_table("config_store_secrets")


def downgrade() -> None:
    op.drop_table("config_store_secrets")
    op.drop_table("config_stores")
