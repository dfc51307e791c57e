"""What the reconciler of gateway configurations sees and does: groups, and the region's runtimes that serve them.

All of it needs a session across organizations and happens in one transaction that holds the configuration's row: that is
what keeps two reconcilers of one configuration apart. No driver is called in it; the pools have a reconciler of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, text, update
from sqlalchemy.orm import Session

from core.db.notices import publish_assignment
from core.gateways.states import ReportedStatus
from core.models.control_plane import ControlPlane
from core.models.dataplane_group import DataplaneGroup
from core.models.gateway_configuration import GatewayConfiguration
from core.runtime.nodes import LIVE_SECONDS


@dataclass(frozen=True, slots=True)
class NodeReport:
    """The last report of one live node on the control plane."""

    version: int
    accepted: bool
    running_version: int | None
    first_error: str | None = None


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """One group as it is. `assigned_version` None: the runtimes are not told to serve it."""

    id: UUID
    region: str
    state: str
    assigned_version: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """The live runtimes of one region, and what those that know the control plane report."""

    live_nodes: int
    reports: Sequence[NodeReport] = ()


@dataclass(frozen=True, slots=True)
class ConfigurationFacts:
    """Everything that a plan is made from."""

    entity_version: int
    observed_version: int
    groups: Sequence[GroupFacts]
    pools: dict[str, PoolFacts] = field(default_factory=dict[str, PoolFacts])


_POOLS = text(
    """
    select node.region, ack.version, ack.accepted, ack.running_version, ack.errors -> 0 ->> 'message'
    from runtime_nodes node
    left join runtime_acks ack
        on ack.node_id = node.id and ack.org_id = :org_id and ack.control_plane_id = :control_plane_id
    where node.region in :regions and node.last_seen_at > now() - make_interval(secs => :live_seconds)
    """
).bindparams(bindparam("regions", expanding=True))
_FORGET_REPORTS = text(
    """
    delete from runtime_acks ack using runtime_nodes node
    where ack.org_id = :org_id and ack.control_plane_id = :control_plane_id
      and node.id = ack.node_id and node.region = :region
    """
)
# Those that were looked at in vain for a minute are looked at now and then only: there may be many, and none may keep the
# others waiting, or have the sweep do nothing else.
_UNCONVERGED = text(
    """
    select org_id, id from (
        select configuration.org_id, configuration.id,
               greatest(configuration.updated_at, max(grp.updated_at)) > now() - interval '1 minute' as young
        from gateway_configurations configuration
        left join dataplane_groups grp on grp.org_id = configuration.org_id and grp.configuration_id = configuration.id
        group by configuration.org_id, configuration.id
        having configuration.observed_version < configuration.entity_version
            or bool_or(grp.state in ('created', 'initializing', 'terminating'))
    ) waiting
    where young or random() < :chance order by random() limit :most
    """
)


def lock_configuration(session: Session, org_id: UUID, configuration_id: UUID) -> GatewayConfiguration | None:
    """The configuration, held until the transaction ends; None when it is gone."""
    return session.get(GatewayConfiguration, (org_id, configuration_id), with_for_update=True)


def observe(session: Session, configuration: GatewayConfiguration) -> ConfigurationFacts:
    """The groups and their regions' runtimes, as they are now."""
    statement = select(DataplaneGroup).where(
        DataplaneGroup.org_id == configuration.org_id, DataplaneGroup.configuration_id == configuration.id
    )
    rows = session.scalars(statement.order_by(DataplaneGroup.region).execution_options(populate_existing=True)).all()
    groups = [
        GroupFacts(row.id, row.region, row.state, row.assigned_version, row.state_metadata.get("reason"))
        for row in rows
    ]
    pools = _observe_pools(session, configuration, {group.region for group in groups})
    return ConfigurationFacts(configuration.entity_version, configuration.observed_version, groups, pools)


def assign(session: Session, configuration: GatewayConfiguration, group_id: UUID, region: str) -> None:
    """Have the region's runtimes serve the group from the control plane's present version on.

    What they reported before says nothing about now: they may be letting go of an earlier assignment this very moment. The
    notice has each of them report again.
    """
    key = (configuration.org_id, configuration.control_plane_id)
    version = session.execute(
        select(ControlPlane.config_version).where(ControlPlane.org_id == key[0], ControlPlane.id == key[1])
    ).scalar_one()
    _change(session, configuration, group_id, assigned_version=version, state="initializing")
    session.execute(_FORGET_REPORTS, {"org_id": key[0], "control_plane_id": key[1], "region": region})
    publish_assignment(session, region, configuration.control_plane_id)


def withdraw(session: Session, configuration: GatewayConfiguration, group_id: UUID, region: str) -> None:
    """Have the region's runtimes serve the group no longer."""
    _change(session, configuration, group_id, assigned_version=None)
    publish_assignment(session, region, configuration.control_plane_id)


def mark_ready(session: Session, configuration: GatewayConfiguration, group_id: UUID, now: datetime) -> None:
    """The group serves traffic."""
    _change(session, configuration, group_id, state="ready", state_metadata={}, updated_at=now)


def report_waiting(
    session: Session,
    configuration: GatewayConfiguration,
    group_id: UUID,
    status: ReportedStatus,
    reason: str,
    now: datetime,
) -> None:
    """Say why the group is not where it should be."""
    metadata = {"reported_status": status, "reason": reason}
    _change(session, configuration, group_id, state_metadata=metadata, updated_at=now)


def delete_group(session: Session, configuration: GatewayConfiguration, group_id: UUID) -> None:
    """Forget a group that nobody serves any more."""
    group = session.get(DataplaneGroup, (configuration.org_id, group_id))
    if group is not None:
        session.delete(group)
        session.flush()


def mark_observed(session: Session, configuration: GatewayConfiguration) -> None:
    """What the configuration states has come about."""
    configuration.observed_version = configuration.entity_version
    session.flush()


def unconverged(session: Session, most: int, chance: float) -> list[tuple[UUID, UUID]]:
    """(organization, configuration) of those that are not where they should be, in no order.

    Those at which nothing has happened for a minute are among them with a probability of `chance`.
    """
    return [(row[0], row[1]) for row in session.execute(_UNCONVERGED, {"most": most, "chance": chance})]


def _observe_pools(session: Session, configuration: GatewayConfiguration, regions: set[str]) -> dict[str, PoolFacts]:
    parameters = {
        "org_id": configuration.org_id,
        "control_plane_id": configuration.control_plane_id,
        "regions": sorted(regions),
        "live_seconds": LIVE_SECONDS,
    }
    live: dict[str, int] = dict.fromkeys(regions, 0)
    reports: dict[str, list[NodeReport]] = {region: [] for region in regions}
    for region, version, accepted, running, error in session.execute(_POOLS, parameters) if regions else ():
        live[region] += 1
        if version is not None:
            reports[region].append(NodeReport(version, accepted, running, error))
    return {region: PoolFacts(live[region], tuple(reports[region])) for region in regions}


def _change(session: Session, configuration: GatewayConfiguration, group_id: UUID, **values: Any) -> None:
    statement = update(DataplaneGroup).where(
        DataplaneGroup.org_id == configuration.org_id, DataplaneGroup.id == group_id
    )
    session.execute(statement.values(**values))
