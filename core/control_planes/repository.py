"""Queries of control planes and of the gateways that serve them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, text

from core.db.sessions import TenantSession
from core.errors import NotFound
from core.listing import Columns, Listing, Page, conditions, fetch, label_conditions
from core.models.control_plane import ControlPlane
from core.models.dataplane_group import DataplaneGroup
from core.models.gateway_configuration import GatewayConfiguration

COLUMNS: Final[Columns] = {
    "id": ControlPlane.id,
    "name": ControlPlane.name,
    "cluster_type": ControlPlane.cluster_type,
    "cloud_gateway": ControlPlane.cloud_gateway,
    "created_at": ControlPlane.created_at,
}


_TAKE_TURNS = text("select pg_advisory_xact_lock(hashtextextended('control_planes ' || :org_id, 0))")


class ControlPlaneRepository:
    """Control planes of one organization."""

    def __init__(self, session: TenantSession) -> None:
        self._session = session

    def get(self, control_plane_id: UUID) -> ControlPlane | None:
        return self._session.find(ControlPlane, control_plane_id)

    def require(self, control_plane_id: UUID) -> ControlPlane:
        """The same. Raises NotFound."""
        found = self.get(control_plane_id)
        if found is None:
            raise NotFound("control plane", control_plane_id)
        return found

    def lock(self, control_plane_id: UUID) -> ControlPlane | None:
        """The control plane, held until the transaction ends: its changes happen one after the other.

        FOR NO KEY UPDATE: rows that merely refer to it can be written meanwhile.
        """
        statement = select(ControlPlane).where(ControlPlane.id == control_plane_id).with_for_update(key_share=True)
        return self._session.scalar(statement.execution_options(populate_existing=True))

    def page(self, listing: Listing) -> Page[ControlPlane]:
        statement = select(ControlPlane).where(
            *conditions(listing.filters, COLUMNS), *label_conditions(listing.labels, ControlPlane.labels)
        )
        return fetch(self._session, statement, listing, COLUMNS)

    def count_for_one_more(self) -> int:
        """How many there are; nobody else makes one of this organization's until the transaction ends."""
        self._session.execute(_TAKE_TURNS, {"org_id": str(self._session.org_id)})
        return self._session.scalar(select(func.count()).select_from(ControlPlane)) or 0

    def add(self, control_plane: ControlPlane) -> None:
        self._session.add(control_plane)
        self._session.flush()

    def delete(self, control_plane: ControlPlane) -> None:
        """Delete it with everything below; the database cascades."""
        self._session.delete(control_plane)
        self._session.flush()

    def lock_configurations(self, control_plane_id: UUID) -> Sequence[UUID]:
        """Ids of its gateway configurations, held: a reconciler has finished, or finds them gone.

        Needed before the control plane goes: a reconciler in the middle would wait for it while it waits for them.
        """
        return self._session.scalars(
            select(GatewayConfiguration.id)
            .where(GatewayConfiguration.control_plane_id == control_plane_id)
            .with_for_update()
        ).all()

    def regions(self, control_plane_id: UUID) -> Sequence[str]:
        """Regions in which some gateway serves it, in any state."""
        return self._session.scalars(
            select(DataplaneGroup.region).where(DataplaneGroup.control_plane_id == control_plane_id).distinct()
        ).all()

    def ready_groups(self, control_plane_ids: Sequence[UUID]) -> Sequence[DataplaneGroup]:
        """Gateways that answer under a host name, oldest first."""
        return self._session.scalars(
            select(DataplaneGroup)
            .where(
                DataplaneGroup.control_plane_id.in_(control_plane_ids),
                DataplaneGroup.state == "ready",
                DataplaneGroup.hostname.is_not(None),
            )
            .order_by(DataplaneGroup.created_at, DataplaneGroup.id)
        ).all()
