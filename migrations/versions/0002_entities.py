"""Services, routes, consumers and plugins.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

from sqlalchemy.dialects import postgresql

from migrations.policies import protect_tenant_table

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consumers",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(), nullable=True),
        sa.Column("custom_id", sa.String(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_consumers_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_consumers")),
        sa.UniqueConstraint("org_id", "control_plane_id", "custom_id", name="uq_consumers_custom_id"),
        sa.UniqueConstraint("org_id", "control_plane_id", "username", name="uq_consumers_username"),
    )
    op.create_index("ix_consumers_page", "consumers", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_table(
        "services",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_services_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_services")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_services_name"),
    )
    op.create_index("ix_services_page", "services", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_table(
        "routes",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("service_id", sa.Uuid(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "service_id"],
            ["services.org_id", "services.control_plane_id", "services.id"],
            name="fk_routes_service",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_routes_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_routes")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_routes_name"),
    )
    op.create_index("ix_routes_page", "routes", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_routes_service", "routes", ["org_id", "control_plane_id", "service_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "plugins",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("instance_name", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=True),
        sa.Column("route_id", sa.Uuid(), nullable=True),
        sa.Column("consumer_id", sa.Uuid(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "consumer_id"],
            ["consumers.org_id", "consumers.control_plane_id", "consumers.id"],
            name="fk_plugins_consumer",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "route_id"],
            ["routes.org_id", "routes.control_plane_id", "routes.id"],
            name="fk_plugins_route",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "service_id"],
            ["services.org_id", "services.control_plane_id", "services.id"],
            name="fk_plugins_service",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_plugins_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_plugins")),
        sa.UniqueConstraint("org_id", "control_plane_id", "instance_name", name="uq_plugins_instance_name"),
        sa.UniqueConstraint(
            "org_id",
            "control_plane_id",
            "name",
            "service_id",
            "route_id",
            "consumer_id",
            name="uq_plugins_name_scope",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(
        "ix_plugins_consumer",
        "plugins",
        ["org_id", "control_plane_id", "consumer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index("ix_plugins_page", "plugins", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_plugins_route", "plugins", ["org_id", "control_plane_id", "route_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_plugins_service", "plugins", ["org_id", "control_plane_id", "service_id", "created_at", "id"], unique=False
    )
    for table in ("consumers", "services", "routes", "plugins"):
        protect_tenant_table(table)


def downgrade() -> None:
    op.drop_table("plugins")
    op.drop_table("routes")
    op.drop_table("services")
    op.drop_table("consumers")
