"""Rows of gateway configurations and their groups, as one organization sees them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import select

from core.db.sessions import TenantSession
from core.listing import Columns, Listing, Page, conditions, fetch
from core.models.control_plane import ControlPlane
from core.models.dataplane_group import DataplaneGroup
from core.models.gateway_configuration import GatewayConfiguration

_COLUMNS: Final[Columns] = {
    "id": GatewayConfiguration.id,
    "control_plane_id": GatewayConfiguration.control_plane_id,
    "control_plane_geo": GatewayConfiguration.control_plane_geo,
    "created_at": GatewayConfiguration.created_at,
}


class GatewayRepository:
    """Reads and adds; the caller commits."""

    def __init__(self, session: TenantSession) -> None:
        self._session = session

    def control_plane(self, control_plane_id: UUID) -> ControlPlane | None:
        """One control plane."""
        return self._session.find(ControlPlane, control_plane_id)

    def lock_control_plane(self, control_plane_id: UUID) -> ControlPlane | None:
        """One control plane, locked: statements about one control plane come one after the other.

        FOR NO KEY UPDATE: a reconciler that holds the configuration and writes a row which refers to the control plane
        must not wait for a statement that waits for the configuration.
        """
        statement = select(ControlPlane).where(ControlPlane.id == control_plane_id).with_for_update(key_share=True)
        return self._session.scalars(statement.execution_options(populate_existing=True)).one_or_none()

    def configuration(self, configuration_id: UUID) -> GatewayConfiguration | None:
        """One configuration."""
        return self._session.find(GatewayConfiguration, configuration_id)

    def configuration_of(self, control_plane_id: UUID) -> GatewayConfiguration | None:
        """The configuration of a control plane."""
        statement = select(GatewayConfiguration).where(GatewayConfiguration.control_plane_id == control_plane_id)
        return self._session.scalars(statement).one_or_none()

    def lock_configuration_of(self, control_plane_id: UUID) -> GatewayConfiguration | None:
        """The configuration of a control plane, held until the transaction ends: its reconciler waits."""
        statement = select(GatewayConfiguration).where(GatewayConfiguration.control_plane_id == control_plane_id)
        return self._session.scalars(
            statement.with_for_update().execution_options(populate_existing=True)
        ).one_or_none()

    def page(self, listing: Listing) -> Page[GatewayConfiguration]:
        """A part of the list of configurations."""
        statement = select(GatewayConfiguration).where(*conditions(listing.filters, _COLUMNS))
        return fetch(self._session, statement, listing, _COLUMNS)

    def groups(self, configuration_ids: Sequence[UUID]) -> dict[UUID, list[DataplaneGroup]]:
        """The groups of each configuration, oldest first."""
        statement = select(DataplaneGroup).where(DataplaneGroup.configuration_id.in_(configuration_ids))
        found: dict[UUID, list[DataplaneGroup]] = {identifier: [] for identifier in configuration_ids}
        for group in self._session.scalars(statement.order_by(DataplaneGroup.created_at, DataplaneGroup.region)):
            found[group.configuration_id].append(group)
        return found

    def add(self, row: GatewayConfiguration | DataplaneGroup) -> None:
        """Put a new row into the transaction."""
        self._session.add(row)
        self._session.flush()
