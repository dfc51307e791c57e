"""A member's changes as changes of its groups, in the transaction of the change itself.

A group's history names the entities that changed, so that runtimes get a delta. Where a change concerns entities that collide
with another member's, it may bring others to light or take them away: such a version has no changes in the history, and
runtimes get everything anew.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.control_planes.configuration import Caps, advance
from core.crud.history import Change
from core.crud.sealing import Sealer
from core.db.notices import publish_version
from core.db.sessions import TenantSession
from core.groups.collisions import Members
from core.groups.members import lock_groups_of, members_of
from core.models.config_change import ConfigChange
from core.models.control_plane import ControlPlane


@dataclass(slots=True)
class Growth:
    """By how much a configuration grew, or shrank; `size` in bytes."""

    entities: int = 0
    size: int = 0

    def add(self, before: bytes | None, after: bytes | None) -> None:
        """Count one entity's change, given as it is stored."""
        self.entities += (after is not None) - (before is not None)
        self.size += len(after or b"") - len(before or b"")

    def apply(self, control_plane: ControlPlane) -> None:
        """Have a locked control plane's row say so."""
        control_plane.entity_count += self.entities
        control_plane.config_bytes = max(0, control_plane.config_bytes + self.size)

    @property
    def more(self) -> bool:
        """It grew; only then is there a reason to refuse it."""
        return self.entities > 0 or self.size > 0


@dataclass(frozen=True, slots=True)
class Member:
    """A locked control plane that may be a member of groups."""

    session: TenantSession
    sealer: Sealer
    control_plane: ControlPlane

    def pass_on(self, changes: Sequence[Change], growth: Growth, caps: Caps, actor: str, now: datetime) -> str | None:
        """Make a member's newest version a new one of each of its groups; returns what a group has too much of then."""
        for group in lock_groups_of(self.session, self.control_plane):
            growth.apply(group)
            exceeded = caps.exceeded(group)
            if exceeded is not None and growth.more:
                return exceeded
            version = advance(group, bytes.fromhex(self.control_plane.config_hash), now)
            if not self._collides(group, changes):
                self.session.add_all(_noted(change, group, version, actor, now) for change in changes)
            self.session.flush()
            publish_version(self.session, group.org_id, group.id, version)
        return None

    def _collides(self, group: ControlPlane, changes: Sequence[Change]) -> bool:
        documents: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for change in changes:
            documents[change.entity_type] += [side for side in (change.before, change.after) if side is not None]
        members = members_of(self.session, group.org_id, group.id)
        rivals = Members(self.session, self.sealer, group.org_id, members)
        return rivals.collide(self.control_plane.id, documents)


def _noted(change: Change, group: ControlPlane, version: int, actor: str, now: datetime) -> ConfigChange:
    """A member's change in its group's history, which says what changed and leaves it to the member's to say how."""
    return ConfigChange(
        control_plane_id=group.id,
        version=version,
        seq=change.seq,
        entity_type=change.entity_type,
        entity_id=change.entity_id,
        operation=change.operation,
        actor=actor,
        created_at=now,
    )
