"""Reports on the health of targets, and orders that overrule it.

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.policies import protect_tenant_table

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "target_health",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("upstream_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("report", postgresql.JSONB(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"], ["runtime_nodes.id"], name=op.f("fk_target_health_node_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "upstream_id"],
            ["upstreams.org_id", "upstreams.control_plane_id", "upstreams.id"],
            name=op.f("fk_target_health_org_id_control_plane_id_upstream_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "upstream_id", "node_id", name=op.f("pk_target_health")),
    )
    op.create_index("ix_target_health_node_id", "target_health", ["node_id"], unique=False)
    op.create_table(
        "target_orders",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("upstream_id", sa.Uuid(), nullable=False),
        sa.Column("healthy", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "target_id"],
            ["targets.org_id", "targets.control_plane_id", "targets.id"],
            name=op.f("fk_target_orders_org_id_control_plane_id_target_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "target_id", "address", name=op.f("pk_target_orders")),
        sa.UniqueConstraint("seq", name=op.f("uq_target_orders_seq")),
    )
    op.create_index("ix_target_orders_created_at", "target_orders", ["created_at"], unique=False)
    protect_tenant_table("target_health")
    protect_tenant_table("target_orders")


def downgrade() -> None:

    op.drop_table("target_orders")
    op.drop_table("target_health")
