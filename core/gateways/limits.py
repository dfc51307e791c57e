"""Limits of tenants on gateways: the installation's settings, and what an operator set for single organizations."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.notices import publish_assignment
from core.errors import InvalidInput, NotFound
from core.models.dataplane_group import DataplaneGroup
from core.models.organization import Organization
from core.models.organization_limits import OrganizationLimits
from core.settings import Settings
from schema.snapshot import GatewaySettings, Limits


def of_installation(settings: Settings) -> Limits:
    """What bounds an organization for which nothing else was set."""
    return Limits(
        allow_upstream=settings.upstream_allow,
        max_body_bytes=settings.tenant_max_body_bytes,
        max_requests_per_second=settings.tenant_max_requests_per_second,
        max_concurrent_requests=settings.tenant_max_concurrent_requests,
        max_connections=settings.tenant_max_connections,
    )


def settings_of_installation(settings: Settings) -> GatewaySettings:
    """How gateways rank routes, and take what stands between them and the clients."""
    return GatewaySettings(
        router_flavor=settings.router_flavor,
        trusted_ips=settings.trusted_ips,
        real_ip_header=settings.real_ip_header,
        real_ip_recursive=settings.real_ip_recursive,
    )


def with_own(common: Limits, own: Mapping[str, Any] | None) -> Limits:
    """The installation's limits with an organization's own instead of them, as far as it has any.

    What another version stored and this one does not know is passed over.
    """
    known = {name: value for name, value in (own or {}).items() if name in Limits.model_fields}
    return Limits.model_validate(common.model_dump() | known) if known else common


def change(session: Session, organization_id: UUID, changes: Mapping[str, Any], *, clear: bool) -> dict[str, Any]:
    """Set limits of one organization, after taking back all that were set if `clear`; returns its own ones.

    Runtimes that serve it hear of it with the commit. Needs a session across organizations.
    Raises: NotFound: no such organization. InvalidInput: a value that no gateway accepts.
    """
    if session.get(Organization, organization_id) is None:
        raise NotFound("organization", organization_id)
    row = session.get(OrganizationLimits, organization_id, with_for_update=True)
    own = {**({} if row is None or clear else row.limits), **changes}
    try:
        Limits.model_validate(own)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInput.of(str(first["loc"][0]), first["msg"]) from None
    if row is not None and own == row.limits:
        return own
    if row is None:
        if not own:
            return own
        session.add(OrganizationLimits(organization_id=organization_id, limits=own))
    elif own:
        row.limits = own
    else:
        session.delete(row)
    session.flush()
    groups = select(DataplaneGroup.region, DataplaneGroup.control_plane_id).where(
        DataplaneGroup.org_id == organization_id, DataplaneGroup.assigned_version.is_not(None)
    )
    for region, control_plane_id in session.execute(groups.distinct()).all():
        publish_assignment(session, region, control_plane_id)
    return own
