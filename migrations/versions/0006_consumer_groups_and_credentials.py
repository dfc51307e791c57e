"""Consumer groups, their members and plugins, and consumers' credentials.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.policies import protect_tenant_table

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consumer_groups",
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
            name=op.f("fk_consumer_groups_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_consumer_groups")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_consumer_groups_name"),
    )
    op.create_index(
        "ix_consumer_groups_page", "consumer_groups", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "acls",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("consumer_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "consumer_id"],
            ["consumers.org_id", "consumers.control_plane_id", "consumers.id"],
            name="fk_acls_consumer",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_acls_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_acls")),
        sa.UniqueConstraint("org_id", "control_plane_id", "group", "consumer_id", name="uq_acls_group_scope"),
    )
    op.create_index(
        "ix_acls_consumer", "acls", ["org_id", "control_plane_id", "consumer_id", "created_at", "id"], unique=False
    )
    op.create_index("ix_acls_page", "acls", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_table(
        "basicauth_credentials",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("consumer_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "consumer_id"],
            ["consumers.org_id", "consumers.control_plane_id", "consumers.id"],
            name="fk_basicauth_credentials_consumer",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_basicauth_credentials_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_basicauth_credentials")),
        sa.UniqueConstraint("org_id", "control_plane_id", "username", name="uq_basicauth_credentials_username"),
    )
    op.create_index(
        "ix_basicauth_credentials_consumer",
        "basicauth_credentials",
        ["org_id", "control_plane_id", "consumer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_basicauth_credentials_page",
        "basicauth_credentials",
        ["org_id", "control_plane_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "consumer_group_members",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("consumer_id", sa.Uuid(), nullable=False),
        sa.Column("consumer_group_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "consumer_group_id"],
            ["consumer_groups.org_id", "consumer_groups.control_plane_id", "consumer_groups.id"],
            name="fk_consumer_group_members_consumer_group",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "consumer_id"],
            ["consumers.org_id", "consumers.control_plane_id", "consumers.id"],
            name="fk_consumer_group_members_consumer",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_consumer_group_members_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_consumer_group_members")),
        sa.UniqueConstraint(
            "org_id",
            "control_plane_id",
            "consumer_id",
            "consumer_group_id",
            name="uq_consumer_group_members_consumer_scope",
        ),
    )
    op.create_index(
        "ix_consumer_group_members_consumer",
        "consumer_group_members",
        ["org_id", "control_plane_id", "consumer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_consumer_group_members_consumer_group",
        "consumer_group_members",
        ["org_id", "control_plane_id", "consumer_group_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_consumer_group_members_page",
        "consumer_group_members",
        ["org_id", "control_plane_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "keyauth_credentials",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=True),
        sa.Column("consumer_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "consumer_id"],
            ["consumers.org_id", "consumers.control_plane_id", "consumers.id"],
            name="fk_keyauth_credentials_consumer",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_keyauth_credentials_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_keyauth_credentials")),
        sa.UniqueConstraint("org_id", "control_plane_id", "key_hash", name="uq_keyauth_credentials_key"),
    )
    op.create_index(
        "ix_keyauth_credentials_consumer",
        "keyauth_credentials",
        ["org_id", "control_plane_id", "consumer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_keyauth_credentials_page",
        "keyauth_credentials",
        ["org_id", "control_plane_id", "created_at", "id"],
        unique=False,
    )
    op.add_column("plugins", sa.Column("consumer_group_id", sa.Uuid(), nullable=True))
    op.drop_constraint(op.f("uq_plugins_name_scope"), "plugins", type_="unique")
    op.create_unique_constraint(
        "uq_plugins_name_scope",
        "plugins",
        ["org_id", "control_plane_id", "name", "service_id", "route_id", "consumer_id", "consumer_group_id"],
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(
        "ix_plugins_consumer_group",
        "plugins",
        ["org_id", "control_plane_id", "consumer_group_id", "created_at", "id"],
        unique=False,
    )
    op.create_foreign_key(
        "fk_plugins_consumer_group",
        "plugins",
        "consumer_groups",
        ["org_id", "control_plane_id", "consumer_group_id"],
        ["org_id", "control_plane_id", "id"],
    )
    protect_tenant_table("consumer_groups")
    protect_tenant_table("acls")
    protect_tenant_table("basicauth_credentials")
    protect_tenant_table("consumer_group_members")
    protect_tenant_table("keyauth_credentials")


def downgrade() -> None:

    op.drop_constraint("fk_plugins_consumer_group", "plugins", type_="foreignkey")
    op.drop_index("ix_plugins_consumer_group", table_name="plugins")
    op.drop_constraint("uq_plugins_name_scope", "plugins", type_="unique")
    op.create_unique_constraint(
        op.f("uq_plugins_name_scope"),
        "plugins",
        ["org_id", "control_plane_id", "name", "service_id", "route_id", "consumer_id"],
        postgresql_nulls_not_distinct=True,
    )
    op.drop_column("plugins", "consumer_group_id")
    op.drop_table("keyauth_credentials")
    op.drop_table("consumer_group_members")
    op.drop_table("basicauth_credentials")
    op.drop_table("acls")
    op.drop_table("consumer_groups")
