"""Organizations, people and tokens, control planes with their history, provisioning, runtimes, outbox and leases.

Revision: 0001, the first. The two database roles exist already: migrations/roles.py.
"""

import sqlalchemy as sa
from alembic import op

from sqlalchemy.dialects import postgresql

from migrations.policies import grant_system_table, protect_tenant_table

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("login_path", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("retention_period_days", sa.Integer(), nullable=False),
        sa.Column("data_key", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state in ('active', 'inactive', 'deleting', 'deleted')", name=op.f("ck_organizations_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "outbox",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_available_at_id", "outbox", ["available_at", "id"], unique=False)
    op.create_table(
        "runtime_nodes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("hostname", sa.String(), nullable=False),
        sa.Column("tenants", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runtime_nodes")),
    )
    op.create_index("ix_runtime_nodes_region_last_seen_at", "runtime_nodes", ["region", "last_seen_at"], unique=False)
    op.create_table(
        "audit_events",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("subject_type", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("control_plane_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id"], ["organizations.id"], name=op.f("fk_audit_events_org_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_audit_events")),
    )
    op.create_index(
        "ix_audit_events_org_id_created_at_id", "audit_events", ["org_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "control_planes",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("labels", postgresql.JSONB(), nullable=False),
        sa.Column("cluster_type", sa.String(), nullable=False),
        sa.Column("auth_type", sa.String(), nullable=False),
        sa.Column("cloud_gateway", sa.Boolean(), nullable=False),
        sa.Column("proxy_urls", postgresql.JSONB(), nullable=False),
        sa.Column("endpoint_prefix", sa.String(), nullable=False),
        sa.Column("config_version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("config_version >= 0", name=op.f("ck_control_planes_config_version")),
        sa.ForeignKeyConstraint(
            ["org_id"], ["organizations.id"], name=op.f("fk_control_planes_org_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_control_planes")),
        sa.UniqueConstraint("endpoint_prefix", name=op.f("uq_control_planes_endpoint_prefix")),
        sa.UniqueConstraint("org_id", "name", name=op.f("uq_control_planes_org_id_name")),
    )
    op.create_index(
        "ix_control_planes_org_id_created_at_id", "control_planes", ["org_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "users",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("preferred_name", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("inferred_region", sa.String(), nullable=True),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], name=op.f("fk_users_org_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_users")),
    )
    op.create_index("uq_users_org_id_email", "users", ["org_id", sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "access_tokens",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_access_tokens_token_hash_length")),
        sa.ForeignKeyConstraint(
            ["org_id", "user_id"],
            ["users.org_id", "users.id"],
            name=op.f("fk_access_tokens_org_id_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_access_tokens_token_hash")),
    )
    op.create_index(
        "ix_access_tokens_org_id_user_id_created_at", "access_tokens", ["org_id", "user_id", "created_at"], unique=False
    )
    op.create_table(
        "config_changes",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entity_type", sa.String(), nullable=False),
        sa.Column("entity_id", sa.Uuid(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("operation in ('put', 'delete')", name=op.f("ck_config_changes_operation")),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_config_changes_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "version", "seq", name=op.f("pk_config_changes")),
    )
    op.create_table(
        "gateway_configurations",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_geo", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("api_access", sa.String(), nullable=False),
        sa.Column("groups", postgresql.JSONB(), nullable=False),
        sa.Column("labels", postgresql.JSONB(), nullable=False),
        sa.Column("entity_version", sa.BigInteger(), nullable=False),
        sa.Column("observed_version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('dedicated.v0', 'serverless.v1')", name=op.f("ck_gateway_configurations_kind")),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_gateway_configurations_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_gateway_configurations")),
        sa.UniqueConstraint(
            "org_id", "control_plane_id", name=op.f("uq_gateway_configurations_org_id_control_plane_id")
        ),
    )
    op.create_table(
        "runtime_acks",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("errors", postgresql.JSONB(), nullable=False),
        sa.Column("running_version", sa.BigInteger(), nullable=True),
        sa.Column("config_hash", sa.String(), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"], ["runtime_nodes.id"], name=op.f("fk_runtime_acks_node_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_runtime_acks_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "node_id", name=op.f("pk_runtime_acks")),
    )
    op.create_index("ix_runtime_acks_node_id", "runtime_acks", ["node_id"], unique=False)
    op.create_table(
        "dataplane_groups",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("configuration_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_metadata", postgresql.JSONB(), nullable=False),
        sa.Column("hostname", sa.String(), nullable=True),
        sa.Column("assigned_version", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state in ('created', 'initializing', 'ready', 'terminating', 'terminated')",
            name=op.f("ck_dataplane_groups_state"),
        ),
        sa.CheckConstraint("hostname = lower(hostname)", name=op.f("ck_dataplane_groups_hostname_lower_case")),
        sa.ForeignKeyConstraint(
            ["org_id", "configuration_id"],
            ["gateway_configurations.org_id", "gateway_configurations.id"],
            name=op.f("fk_dataplane_groups_org_id_configuration_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_dataplane_groups_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_dataplane_groups")),
        sa.UniqueConstraint("hostname", name=op.f("uq_dataplane_groups_hostname")),
        sa.UniqueConstraint(
            "org_id",
            "configuration_id",
            "provider",
            "region",
            name=op.f("uq_dataplane_groups_org_id_configuration_id_provider_region"),
        ),
    )
    op.create_index(
        "ix_dataplane_groups_org_id_control_plane_id", "dataplane_groups", ["org_id", "control_plane_id"], unique=False
    )
    op.create_index("ix_dataplane_groups_region", "dataplane_groups", ["region"], unique=False)

    protect_tenant_table("organizations", column="id")
    for table in (
        "users",
        "access_tokens",
        "control_planes",
        "config_changes",
        "audit_events",
        "outbox",
        "gateway_configurations",
        "dataplane_groups",
        "runtime_acks",
    ):
        protect_tenant_table(table)
    for table in ("runtime_nodes", "leases"):
        grant_system_table(table)


def downgrade() -> None:
    op.drop_table("dataplane_groups")
    op.drop_table("runtime_acks")
    op.drop_table("gateway_configurations")
    op.drop_table("config_changes")
    op.drop_table("access_tokens")
    op.drop_table("users")
    op.drop_table("control_planes")
    op.drop_table("audit_events")
    op.drop_table("runtime_nodes")
    op.drop_table("outbox")
    op.drop_table("organizations")
    op.drop_table("leases")
