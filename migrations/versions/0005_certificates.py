"""Certificates, the names they are shown for, authorities, and the references to them.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.policies import protect_tenant_table

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ca_certificates",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cert_digest", sa.String(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_ca_certificates_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_ca_certificates")),
        sa.UniqueConstraint("org_id", "control_plane_id", "cert_digest", name="uq_ca_certificates_cert_digest"),
    )
    op.create_index(
        "ix_ca_certificates_page", "ca_certificates", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "certificates",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_certificates_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_certificates")),
    )
    op.create_index(
        "ix_certificates_page", "certificates", ["org_id", "control_plane_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "snis",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("certificate_id", sa.Uuid(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("doc", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id", "certificate_id"],
            ["certificates.org_id", "certificates.control_plane_id", "certificates.id"],
            name="fk_snis_certificate",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name=op.f("fk_snis_org_id_control_plane_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_snis")),
        sa.UniqueConstraint("org_id", "control_plane_id", "name", name="uq_snis_name"),
    )
    op.create_index(
        "ix_snis_certificate",
        "snis",
        ["org_id", "control_plane_id", "certificate_id", "created_at", "id"],
        unique=False,
    )
    op.create_index("ix_snis_page", "snis", ["org_id", "control_plane_id", "created_at", "id"], unique=False)
    op.add_column("services", sa.Column("client_certificate_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_services_client_certificate",
        "services",
        ["org_id", "control_plane_id", "client_certificate_id", "created_at", "id"],
        unique=False,
    )
    op.create_foreign_key(
        "fk_services_client_certificate",
        "services",
        "certificates",
        ["org_id", "control_plane_id", "client_certificate_id"],
        ["org_id", "control_plane_id", "id"],
    )
    op.add_column("upstreams", sa.Column("client_certificate_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_upstreams_client_certificate",
        "upstreams",
        ["org_id", "control_plane_id", "client_certificate_id", "created_at", "id"],
        unique=False,
    )
    op.create_foreign_key(
        "fk_upstreams_client_certificate",
        "upstreams",
        "certificates",
        ["org_id", "control_plane_id", "client_certificate_id"],
        ["org_id", "control_plane_id", "id"],
    )
    protect_tenant_table("ca_certificates")
    protect_tenant_table("certificates")
    protect_tenant_table("snis")


def downgrade() -> None:

    op.drop_constraint("fk_upstreams_client_certificate", "upstreams", type_="foreignkey")
    op.drop_index("ix_upstreams_client_certificate", table_name="upstreams")
    op.drop_column("upstreams", "client_certificate_id")
    op.drop_constraint("fk_services_client_certificate", "services", type_="foreignkey")
    op.drop_index("ix_services_client_certificate", table_name="services")
    op.drop_column("services", "client_certificate_id")
    op.drop_table("snis")
    op.drop_table("certificates")
    op.drop_table("ca_certificates")
