"""Orders to take a target for healthy or not, from the API to every runtime that serves the control plane.

A runtime fetches the orders after the last one it has seen, at a hint of the stream and every few seconds. So each order
arrives at least once, and those of one target in the order in which they were given: a newer one replaces an older one.
Those who serve a group that the control plane is a member of know it by the group's name and version.
An order is a deed, not a state. A runtime that was away for longer than `KEPT_SECONDS`, or that starts anew later, judges for
itself, and so does every runtime whose health checks find otherwise afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.actor import Actor
from core.db.notices import ORDERS_CHANNEL, publish
from core.db.sessions import TenantSession

KEPT_SECONDS: Final = 600
MOST_AT_ONCE: Final = 1000
# Any number, but always the same one. Numbers are drawn before a transaction commits: only one may be under way, or a
# reader could pass by a lower number that becomes visible after a higher one.
_ORDERS_LOCK: Final = 7_305_811_443

_LOCK = text("select pg_advisory_xact_lock(:lock)")
_FORGET = text("delete from target_orders where org_id = :org_id and created_at < now() - make_interval(secs => :kept)")
_REPLACE = text(
    """
    delete from target_orders
    where org_id = :org_id and control_plane_id = :control_plane_id and target_id = :target_id
      and (address = :address or :address = '')
    """
)
_PLACE = text(
    """
    insert into target_orders
        (org_id, control_plane_id, target_id, address, upstream_id, healthy, version, created_at)
    select org_id, id, :target_id, :address, :upstream_id, :healthy, config_version, now()
    from control_planes where org_id = :org_id and id = :control_plane_id
    """
)
_GROUPS = text("select group_id from group_memberships where org_id = :org_id and member_id = :control_plane_id")
_AFTER = text(
    """
    select orders.seq, served.control_plane_id, served.version, orders.upstream_id, orders.target_id, orders.address,
           orders.healthy
    from target_orders orders
    join lateral (
        select orders.control_plane_id, orders.version
        union all
        select parent.id, parent.config_version
        from group_memberships member
        join control_planes parent on parent.org_id = member.org_id and parent.id = member.group_id
        where member.org_id = orders.org_id and member.member_id = orders.control_plane_id) served on true
    where orders.seq > :after and orders.created_at > now() - make_interval(secs => :kept)
      and exists (
        select 1 from dataplane_groups grp
        where grp.org_id = orders.org_id and grp.control_plane_id = served.control_plane_id
          and grp.region = :region and grp.assigned_version is not null)
    order by orders.seq fetch first :most rows with ties
    """
)


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `version`: the configuration that the target is part of; `address`: `ip:port`, None for all."""

    seq: int
    control_plane_id: UUID
    version: int
    upstream_id: UUID
    target_id: UUID
    address: str | None
    healthy: bool


def place(
    session: TenantSession,
    actor: Actor,
    control_plane_id: UUID,
    upstream_id: UUID,
    target_id: UUID,
    address: str | None,
    *,
    healthy: bool,
) -> None:
    """Give an order for an existing target. An order for a whole target replaces those for its addresses."""
    session.execute(_LOCK, {"lock": _ORDERS_LOCK})
    parameters = {
        "org_id": session.org_id,
        "control_plane_id": control_plane_id,
        "upstream_id": upstream_id,
        "target_id": target_id,
        "address": address or "",
        "healthy": healthy,
    }
    session.execute(_FORGET, {"org_id": session.org_id, "kept": KEPT_SECONDS})
    session.execute(_REPLACE, parameters)
    session.execute(_PLACE, parameters)
    audit.record(
        session,
        actor,
        "target.marked_healthy" if healthy else "target.marked_unhealthy",
        "target",
        target_id,
        control_plane_id=control_plane_id,
        details={} if address is None else {"address": address},
    )
    groups: Sequence[UUID] = session.scalars(_GROUPS, parameters).all()
    for served in (control_plane_id, *groups):
        publish(session, ORDERS_CHANNEL, str(served))


def after(session: Session, region: str, seq: int) -> Sequence[Order]:
    """Orders for a region's runtimes with higher numbers, in order; needs a session across organizations."""
    parameters = {"region": region, "after": seq, "kept": KEPT_SECONDS, "most": MOST_AT_ONCE}
    return [
        Order(number, control_plane_id, version, upstream_id, target_id, address or None, healthy)
        for number, control_plane_id, version, upstream_id, target_id, address, healthy in session.execute(
            _AFTER, parameters
        )
    ]
