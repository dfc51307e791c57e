"""Runtimes' reports on the health of targets, and what they come to together.

A report stands until its runtime sends another one on the same upstream, and counts while the runtime is alive. Runtimes judge
for themselves, so they may differ. Together they are as bad as the worst of them: a target that one of them cannot use is
no healthy target, and whoever asks wants to know.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.runtime.node_ca import Node
from core.runtime.nodes import LIVE_SECONDS

# A node speaks for upstreams of control planes that its region serves, or of the members where that is a group.
_SERVED = """
    from given
    join dataplane_groups grp on grp.control_plane_id = given.control_plane_id
        and grp.region = :region and grp.assigned_version is not null
    join lateral (
        select grp.control_plane_id as id
        union all
        select member.member_id from group_memberships member
        where member.org_id = grp.org_id and member.group_id = grp.control_plane_id) source on true
    join upstreams upstream on upstream.org_id = grp.org_id and upstream.control_plane_id = source.id
        and upstream.id = given.upstream_id
"""
_RECORD = text(
    f"""
    with given as (
        select * from jsonb_to_recordset(cast(:items as jsonb))
            as item(control_plane_id uuid, upstream_id uuid, report jsonb)
    )
    insert into target_health as known (org_id, control_plane_id, upstream_id, node_id, report, reported_at)
    select distinct on (upstream.org_id, upstream.control_plane_id, upstream.id)
        upstream.org_id, upstream.control_plane_id, upstream.id, :node_id, given.report, now()
    {_SERVED}
    order by upstream.org_id, upstream.control_plane_id, upstream.id
    on conflict (org_id, control_plane_id, upstream_id, node_id)
        do update set report = excluded.report, reported_at = excluded.reported_at
    """  # noqa: S608 - the inserted part is a constant
)
_REMOVE = text(
    """
    delete from target_health health
    using jsonb_to_recordset(cast(:items as jsonb)) as item(control_plane_id uuid, upstream_id uuid)
    where health.node_id = :node_id and health.upstream_id = item.upstream_id
      and (health.control_plane_id = item.control_plane_id or exists (
        select 1 from group_memberships member
        where member.org_id = health.org_id and member.group_id = item.control_plane_id
          and member.member_id = health.control_plane_id))
    """
)
_OF_UPSTREAM = text(
    """
    select node.id, node.region, health.report, health.reported_at
    from target_health health
    join runtime_nodes node on node.id = health.node_id
    where health.org_id = :org_id and health.control_plane_id = :control_plane_id and health.upstream_id = :upstream_id
      and node.last_seen_at > now() - make_interval(secs => :live)
      and exists (
        select 1 from dataplane_groups grp
        where grp.org_id = health.org_id and grp.region = node.region and grp.assigned_version is not null
          and (grp.control_plane_id = health.control_plane_id or grp.control_plane_id in (
            select member.group_id from group_memberships member
            where member.org_id = health.org_id and member.member_id = health.control_plane_id)))
    order by node.id
    """
)
OFF: Final = "HEALTHCHECKS_OFF"
BAD_TO_GOOD: Final = ("UNHEALTHY", "DNS_ERROR", "HEALTHY", OFF)


@dataclass(frozen=True, slots=True)
class Item:
    """One upstream as a node finds it; None: the node has no such upstream any more."""

    control_plane_id: UUID
    upstream_id: UUID
    report: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one live runtime says about an upstream: `{"health", "weight", "targets": {id: {"health", "addresses"}}}`."""

    node_id: str
    region: str
    report: Mapping[str, Any]
    reported_at: datetime

    def target(self, target_id: str) -> Mapping[str, Any] | None:
        """What it says about one target, None if it does not know it."""
        return self.report["targets"].get(target_id)


def record(session: Session, node: Node, items: Sequence[Item]) -> None:
    """Store what a node reports; upstreams that its region does not serve are passed over. Needs a session across organizations."""
    known = [
        {"control_plane_id": str(item.control_plane_id), "upstream_id": str(item.upstream_id), "report": item.report}
        for item in items
    ]
    gone = [item for item in known if item["report"] is None]
    found = [item for item in known if item["report"] is not None]
    parameters = {"region": node.region, "node_id": str(node.node_id)}
    if gone:
        session.execute(_REMOVE, {"items": json.dumps(gone), "node_id": str(node.node_id)})
    if found:
        session.execute(_RECORD, {"items": json.dumps(found), **parameters})


def of_upstream(session: Session, org_id: UUID, control_plane_id: UUID, upstream_id: UUID) -> Sequence[NodeReport]:
    """The reports that count; needs a session across organizations, for runtimes belong to none."""
    parameters = {
        "org_id": org_id,
        "control_plane_id": control_plane_id,
        "upstream_id": upstream_id,
        "live": LIVE_SECONDS,
    }
    return [NodeReport(*row) for row in session.execute(_OF_UPSTREAM, parameters)]


def worst(found: Iterable[str]) -> str:
    """What several verdicts come to. Nobody checks where there is no verdict."""
    return min(found, key=BAD_TO_GOOD.index, default=OFF)


def addresses(reports: Iterable[NodeReport], target_id: str) -> list[dict[str, Any]]:
    """All addresses that runtimes know of a target, each as bad as the worst of its verdicts."""
    together: dict[tuple[str, int], dict[str, Any]] = {}
    for report in reports:
        known = report.target(target_id)
        for address in () if known is None else known["addresses"]:
            key = (address["ip"], address["port"])
            before = together.get(key)
            verdicts = [address["health"]] if before is None else [before["health"], address["health"]]
            together[key] = {**address, "health": worst(verdicts)}
    return [together[key] for key in sorted(together)]
