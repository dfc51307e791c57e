"""Find one control plane's groups in one region without reading the whole region.

Revision: 0003, after 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_dataplane_groups_region_control_plane_id", "dataplane_groups", ["region", "control_plane_id"])
    op.drop_index("ix_dataplane_groups_region", table_name="dataplane_groups")


def downgrade() -> None:
    op.create_index("ix_dataplane_groups_region", "dataplane_groups", ["region"])
    op.drop_index("ix_dataplane_groups_region_control_plane_id", table_name="dataplane_groups")
