"""Rows of gateway configurations and their groups, as one organization sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, func, select

from core.db.sessions import TenantSession
from core.models.control_plane import ControlPlane
from core.models.dataplane_group import DataplaneGroup
from core.models.gateway_configuration import GatewayConfiguration


@dataclass(frozen=True, slots=True)
class Filters:
    """Which configurations to list: each a set of wanted or unwanted values, None for no condition."""

    control_plane_ids: Sequence[UUID] | None = None
    without_control_plane_ids: Sequence[UUID] | None = None
    geos: Sequence[str] | None = None
    without_geos: Sequence[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions of a query."""
        control_plane_id, geo = GatewayConfiguration.control_plane_id, GatewayConfiguration.control_plane_geo
        found: list[ColumnElement[bool]] = []
        if self.control_plane_ids is not None:
            found.append(control_plane_id.in_(self.control_plane_ids))
        if self.without_control_plane_ids is not None:
            found.append(control_plane_id.not_in(self.without_control_plane_ids))
        if self.geos is not None:
            found.append(geo.in_(self.geos))
        if self.without_geos is not None:
            found.append(geo.not_in(self.without_geos))
        return found


class GatewayRepository:
    """Reads and adds; the caller commits."""

    def __init__(self, session: TenantSession) -> None:
        self._session = session

    def control_plane(self, control_plane_id: UUID) -> ControlPlane | None:
        """One control plane."""
        return self._session.find(ControlPlane, control_plane_id)

    def lock_control_plane(self, control_plane_id: UUID) -> ControlPlane | None:
        """One control plane, locked: statements about one control plane come one after the other."""
        statement = select(ControlPlane).where(ControlPlane.id == control_plane_id).with_for_update()
        return self._session.scalars(statement.execution_options(populate_existing=True)).one_or_none()

    def configuration(self, configuration_id: UUID) -> GatewayConfiguration | None:
        """One configuration."""
        return self._session.find(GatewayConfiguration, configuration_id)

    def configuration_of(self, control_plane_id: UUID) -> GatewayConfiguration | None:
        """The configuration of a control plane, locked when there is one."""
        statement = select(GatewayConfiguration).where(GatewayConfiguration.control_plane_id == control_plane_id)
        return self._session.scalars(statement.with_for_update()).one_or_none()

    def configurations(
        self, filters: Filters, *, limit: int, offset: int
    ) -> tuple[Sequence[GatewayConfiguration], int]:
        """A part of the list, oldest first, and the length of the whole."""
        conditions = filters.conditions()
        total = self._session.scalar(select(func.count()).select_from(GatewayConfiguration).where(*conditions)) or 0
        statement = select(GatewayConfiguration).where(*conditions)
        ordered = statement.order_by(GatewayConfiguration.created_at, GatewayConfiguration.id)
        return self._session.scalars(ordered.limit(limit).offset(offset)).all(), total

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
