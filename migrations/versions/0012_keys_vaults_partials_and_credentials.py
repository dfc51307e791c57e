"""Keys, vaults, partials, custom plugins, GraphQL's entities, the other credentials, and lists of references as rows.

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.policies import protect_tenant_table

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_FILLED = ("services", "ca_certificates", "services_ca_certificates", "keyauth_credentials")


def upgrade() -> None:
    op.create_table(
        "custom_plugins",
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
            name=op.f("fk_custom_plugins_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_custom_plugins")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_custom_plugins_name"),
    )
    op.create_index(
        "ix_custom_plugins_page", "custom_plugins", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "key_sets",
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
            name=op.f("fk_key_sets_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_key_sets")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_key_sets_name"),
    )
    op.create_index("ix_key_sets_page", "key_sets", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_table(
        "partials",
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
            name=op.f("fk_partials_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_partials")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_partials_name"),
    )
    op.create_index("ix_partials_page", "partials", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_table(
        "plugin_schemas",
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
            name=op.f("fk_plugin_schemas_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_plugin_schemas")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_plugin_schemas_name"),
    )
    op.create_index(
        "ix_plugin_schemas_page", "plugin_schemas", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "vaults",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_vaults_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_vaults")),
        sa.UniqueConstraint("org_id", "control_plane_id", "prefix", name="uq_vaults_prefix"),
    )
    op.create_index("ix_vaults_page", "vaults", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_table(
        "hmacauth_credentials",
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
            name="fk_hmacauth_credentials_consumer",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_hmacauth_credentials_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_hmacauth_credentials")),
        sa.UniqueConstraint("org_id", "control_plane_id", "username", name="uq_hmacauth_credentials_username"),
    )
    op.create_index(
        "ix_hmacauth_credentials_consumer",
        "hmacauth_credentials",
        ["org_id", "control_plane_id", "consumer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_hmacauth_credentials_page",
        "hmacauth_credentials",
        ["org_id", "control_plane_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "jwt_secrets",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("consumer_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "consumer_id"],
            ["consumers.org_id", "consumers.control_plane_id", "consumers.id"],
            name="fk_jwt_secrets_consumer",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_jwt_secrets_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_jwt_secrets")),
        sa.UniqueConstraint("org_id", "control_plane_id", "key", name="uq_jwt_secrets_key"),
    )
    op.create_index(
        "ix_jwt_secrets_consumer",
        "jwt_secrets",
        ["org_id", "control_plane_id", "consumer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_jwt_secrets_page", "jwt_secrets", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "keys",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("set_id", sa.Uuid(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "set_id"],
            ["key_sets.org_id", "key_sets.control_plane_id", "key_sets.id"],
            name="fk_keys_set",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_keys_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_keys")),
        sa.UniqueConstraint(
            "org_id", "control_plane_id", "kid", "set_id", name="uq_keys_kid_scope", postgresql_nulls_not_distinct=True
        ),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_keys_name"),
    )
    op.create_index("ix_keys_page", "keys", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.create_index("ix_keys_set", "keys", ["org_id", "control_plane_id", "set_id", "created_at", "id"], unique=False)
    op.create_table(
        "mtls_auth_credentials",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_name", sa.String(), nullable=False),
        sa.Column("ca_certificate_id", sa.Uuid(), nullable=True),
        sa.Column("consumer_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "ca_certificate_id"],
            ["ca_certificates.org_id", "ca_certificates.control_plane_id", "ca_certificates.id"],
            name="fk_mtls_auth_credentials_ca_certificate",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "consumer_id"],
            ["consumers.org_id", "consumers.control_plane_id", "consumers.id"],
            name="fk_mtls_auth_credentials_consumer",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_mtls_auth_credentials_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_mtls_auth_credentials")),
        sa.UniqueConstraint(
            "org_id",
            "control_plane_id",
            "subject_name",
            "ca_certificate_id",
            name="uq_mtls_auth_credentials_subject_name_scope",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(
        "ix_mtls_auth_credentials_ca_certificate",
        "mtls_auth_credentials",
        ["org_id", "control_plane_id", "ca_certificate_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_mtls_auth_credentials_consumer",
        "mtls_auth_credentials",
        ["org_id", "control_plane_id", "consumer_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_mtls_auth_credentials_page",
        "mtls_auth_credentials",
        ["org_id", "control_plane_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "degraphql_routes",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "service_id"],
            ["services.org_id", "services.control_plane_id", "services.id"],
            name="fk_degraphql_routes_service",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_degraphql_routes_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_degraphql_routes")),
    )
    op.create_index(
        "ix_degraphql_routes_page", "degraphql_routes", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_degraphql_routes_service",
        "degraphql_routes",
        ["org_id", "control_plane_id", "service_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "graphql_costs",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type_path", sa.String(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "service_id"],
            ["services.org_id", "services.control_plane_id", "services.id"],
            name="fk_graphql_costs_service",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_graphql_costs_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_graphql_costs")),
        sa.UniqueConstraint(
            "org_id",
            "control_plane_id",
            "type_path",
            "service_id",
            name="uq_graphql_costs_type_path_scope",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(
        "ix_graphql_costs_page", "graphql_costs", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_graphql_costs_service",
        "graphql_costs",
        ["org_id", "control_plane_id", "service_id", "created_at", "id"],
        unique=False,
    )
    op.create_table(
        "services_ca_certificates",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("named_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "owner_id"],
            ["services.org_id", "services.control_plane_id", "services.id"],
            name="fk_services_ca_certificates_owner",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "named_id"],
            ["ca_certificates.org_id", "ca_certificates.control_plane_id", "ca_certificates.id"],
            name="fk_services_ca_certificates_named",
        ),
        sa.PrimaryKeyConstraint(
            "org_id", "control_plane_id", "owner_id", "named_id", name=op.f("pk_services_ca_certificates")
        ),
    )
    op.create_index(
        "ix_services_ca_certificates_named",
        "services_ca_certificates",
        ["org_id", "control_plane_id", "named_id", "owner_id"],
        unique=False,
    )
    op.create_table(
        "plugins_partials",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("named_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "owner_id"],
            ["plugins.org_id", "plugins.control_plane_id", "plugins.id"],
            name="fk_plugins_partials_owner",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "named_id"],
            ["partials.org_id", "partials.control_plane_id", "partials.id"],
            name="fk_plugins_partials_named",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "owner_id", "named_id", name=op.f("pk_plugins_partials")),
    )
    op.create_index(
        "ix_plugins_partials_named",
        "plugins_partials",
        ["org_id", "control_plane_id", "named_id", "owner_id"],
        unique=False,
    )
    protect_tenant_table("custom_plugins")
    protect_tenant_table("key_sets")
    protect_tenant_table("partials")
    protect_tenant_table("plugin_schemas")
    protect_tenant_table("vaults")
    protect_tenant_table("hmacauth_credentials")
    protect_tenant_table("jwt_secrets")
    protect_tenant_table("keys")
    protect_tenant_table("mtls_auth_credentials")
    protect_tenant_table("degraphql_routes")
    protect_tenant_table("graphql_costs")
    protect_tenant_table("services_ca_certificates")
    protect_tenant_table("plugins_partials")
    op.add_column("keyauth_credentials", sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_keyauth_credentials_ends",
        "keyauth_credentials",
        ["ends_at", "org_id", "control_plane_id"],
        unique=False,
        postgresql_where=sa.text("ends_at IS NOT NULL"),
    )
    # Row-level security is forced: the login that migrates owns the tables and still sees no row of theirs without this.
    for table in _FILLED:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "INSERT INTO services_ca_certificates (org_id, control_plane_id, owner_id, named_id) "
        "SELECT DISTINCT service.org_id, service.control_plane_id, service.id, authority.id FROM services service "
        "CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(service.doc -> 'ca_certificates') "
        "WHEN 'array' THEN service.doc -> 'ca_certificates' ELSE '[]' END) AS named(id) "
        "JOIN ca_certificates authority ON authority.org_id = service.org_id "
        "AND authority.control_plane_id = service.control_plane_id AND authority.id = named.id::uuid"
    )
    op.execute(
        "UPDATE keyauth_credentials SET ends_at = updated_at + (doc ->> 'ttl')::bigint * interval '1 second' "
        "WHERE (doc ->> 'ttl')::bigint > 0"
    )
    for table in _FILLED:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_index("ix_keyauth_credentials_ends", table_name="keyauth_credentials")
    op.drop_column("keyauth_credentials", "ends_at")
    op.drop_table("plugins_partials")
    op.drop_table("services_ca_certificates")
    op.drop_table("graphql_costs")
    op.drop_table("degraphql_routes")
    op.drop_table("mtls_auth_credentials")
    op.drop_table("keys")
    op.drop_table("jwt_secrets")
    op.drop_table("hmacauth_credentials")
    op.drop_table("vaults")
    op.drop_table("plugin_schemas")
    op.drop_table("partials")
    op.drop_table("key_sets")
    op.drop_table("custom_plugins")
