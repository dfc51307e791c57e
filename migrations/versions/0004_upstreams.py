"""Upstreams and their targets.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.policies import protect_tenant_table

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "upstreams",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_upstreams_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_upstreams")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_upstreams_name"),
    )
    op.create_index("ix_upstreams_page", "upstreams", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_table(
        "targets",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("upstream_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "upstream_id"],
            ["upstreams.org_id", "upstreams.control_plane_id", "upstreams.id"],
            name="fk_targets_upstream",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_targets_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_targets")),
        sa.UniqueConstraint("org_id", "control_plane_id", "target", "upstream_id", name="uq_targets_target_scope"),
    )
    op.create_index("ix_targets_page", "targets", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_targets_upstream",
        "targets",
        ["org_id", "control_plane_id", "upstream_id", "created_at", "id"],
        unique=False,
    )
    protect_tenant_table("upstreams")
    protect_tenant_table("targets")


def downgrade() -> None:

    op.drop_table("targets")
    op.drop_table("upstreams")
