"""Members of control plane groups, pinned client certificates, and what a configuration comes to: bytes and hash.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

from migrations.policies import protect_tenant_table

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = (
    "acls",
    "basicauth_credentials",
    "ca_certificates",
    "certificates",
    "consumer_group_members",
    "consumer_groups",
    "consumers",
    "keyauth_credentials",
    "plugins",
    "routes",
    "services",
    "snis",
    "targets",
    "upstreams",
)
_EMPTY = 32 * "0"


def upgrade() -> None:
    op.add_column("control_planes", sa.Column("config_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("control_planes", sa.Column("config_hash", sa.String(), server_default=_EMPTY, nullable=False))
    op.add_column("control_planes", sa.Column("config_changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("control_planes", sa.Column("grouped", sa.Boolean(), server_default="false", nullable=False))
    _fill()
    op.alter_column("control_planes", "config_changed_at", nullable=False)
    op.create_table(
        "group_memberships",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "group_id"],
            ["control_planes.org_id", "control_planes.id"],
            name="fk_group_memberships_group",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["org_id", "member_id"],
            ["control_planes.org_id", "control_planes.id"],
            name="fk_group_memberships_member",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "group_id", "member_id", name=op.f("pk_group_memberships")),
        sa.UniqueConstraint("seq", name=op.f("uq_group_memberships_seq")),
    )
    op.create_index("ix_group_memberships_member", "group_memberships", ["org_id", "member_id"], unique=False)
    op.create_table(
        "dp_client_certificates",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("control_plane_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cert", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name="fk_dp_client_certificates_control_plane",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org_id", "control_plane_id", "id", name=op.f("pk_dp_client_certificates")),
        sa.UniqueConstraint("org_id", "control_plane_id", "digest", name="uq_dp_client_certificates_digest"),
    )
    protect_tenant_table("group_memberships")
    protect_tenant_table("dp_client_certificates")


def _fill() -> None:
    """Say of the configurations that are there what their writers say from now on."""
    # Row-level security is forced: the login that migrates owns the tables and still sees no row of theirs without this.
    for table in (*_TABLES, "control_planes"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    measured = " UNION ALL ".join(
        f"SELECT org_id, control_plane_id, octet_length(doc::text) AS size FROM {table}"  # noqa: S608
        for table in _TABLES
    )
    op.execute(
        "UPDATE control_planes SET config_changed_at = updated_at, config_hash = CASE WHEN entity_count = 0 "  # noqa: S608
        f"THEN '{_EMPTY}' ELSE md5(id::text || ':' || config_version::text) END"
    )
    op.execute(
        "UPDATE control_planes SET config_bytes = measured.size FROM ("  # noqa: S608
        f"SELECT org_id, control_plane_id, sum(size) AS size FROM ({measured}) AS entities GROUP BY 1, 2) AS measured "
        "WHERE measured.org_id = control_planes.org_id AND measured.control_plane_id = control_planes.id"
    )
    for table in (*_TABLES, "control_planes"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_table("dp_client_certificates")
    op.drop_table("group_memberships")
    for column in ("grouped", "config_changed_at", "config_hash", "config_bytes"):
        op.drop_column("control_planes", column)
