"""Which control planes the runtimes of a region serve, under which hosts, at which version."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from schema.snapshot import EMPTY_CONFIG_HASH

_SELECT = """
    select grp.org_id, grp.control_plane_id, array_agg(grp.hostname order by grp.hostname) as hosts,
           control_plane.config_version, own.limits, control_plane.config_hash,
           control_plane.cluster_type = 'CLUSTER_TYPE_CONTROL_PLANE_GROUP', control_plane.entity_count
    from dataplane_groups grp
    left join organization_limits own on own.organization_id = grp.org_id
    join control_planes control_plane on control_plane.org_id = grp.org_id and control_plane.id = grp.control_plane_id
    where grp.region = :region and grp.assigned_version is not null and grp.hostname is not null {more}
    group by grp.org_id, grp.control_plane_id, own.limits, control_plane.org_id, control_plane.id
"""
_OF_REGION = text(_SELECT.format(more=""))
_OF_SOME = text(_SELECT.format(more="and grp.control_plane_id = any(:control_plane_ids)"))


@dataclass(frozen=True, slots=True)
class Assignment:
    """One control plane in one region.

    Attributes:
        hosts: lower case, without port, sorted.
        config_hash: see core/control_planes/configuration.py.
        is_group: what is served are the entities of its members.
        own_limits: what an operator set for the organization, None for nothing.
        terms: hash of the terms of its updates (schema/terms.py), where they are not everybody's.
        entities: how many it has.
    """

    organization_id: UUID
    control_plane_id: UUID
    hosts: tuple[str, ...]
    version: int
    own_limits: Mapping[str, Any] | None = None
    terms: str = ""
    config_hash: str = EMPTY_CONFIG_HASH
    is_group: bool = False
    entities: int = 0


def of_region(session: Session, region: str) -> Sequence[Assignment]:
    """Everything that the region's runtimes serve; needs a session across organizations."""
    return [_assignment(row) for row in session.execute(_OF_REGION, {"region": region})]


def of_control_planes(session: Session, region: str, control_plane_ids: Collection[UUID]) -> Sequence[Assignment]:
    """Those of the given control planes that the region's runtimes serve."""
    parameters = {"region": region, "control_plane_ids": list(control_plane_ids)}
    return [_assignment(row) for row in session.execute(_OF_SOME, parameters)]


def of_control_plane(session: Session, region: str, control_plane_id: UUID) -> Assignment | None:
    """One control plane's assignment to the region, or None."""
    return next(iter(of_control_planes(session, region, [control_plane_id])), None)


def _assignment(row: object) -> Assignment:
    organization_id, control_plane_id, hosts, version, own_limits, config_hash, is_group, entities = row  # type: ignore[misc]
    return Assignment(
        organization_id,
        control_plane_id,
        tuple(hosts),
        version,
        own_limits,
        config_hash=config_hash,
        is_group=is_group,
        entities=entities,
    )
