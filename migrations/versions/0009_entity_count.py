"""How many entities each control plane holds.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
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


def upgrade() -> None:
    op.add_column("control_planes", sa.Column("entity_count", sa.Integer(), server_default="0", nullable=False))
    # Row-level security is forced: the login that migrates owns the tables and still sees no row of theirs without this.
    for table in (*_TABLES, "control_planes"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    counted = " UNION ALL ".join(f"SELECT org_id, control_plane_id FROM {table}" for table in _TABLES)  # noqa: S608
    op.execute(
        "UPDATE control_planes SET entity_count = counted.number FROM ("  # noqa: S608
        f"SELECT org_id, control_plane_id, count(*) AS number FROM ({counted}) AS entities GROUP BY 1, 2) AS counted "
        "WHERE counted.org_id = control_planes.org_id AND counted.control_plane_id = control_planes.id"
    )
    for table in (*_TABLES, "control_planes"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_column("control_planes", "entity_count")
