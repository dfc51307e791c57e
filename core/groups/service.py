"""Members of control plane groups: listing, changing, and what they collide in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import func, select

from core import audit
from core.actor import Actor
from core.clock import Clock
from core.control_planes.configuration import GROUP, Caps
from core.control_planes.repository import ControlPlaneRepository
from core.crud.sealing import Sealer
from core.crypto import KeyRing
from core.db.sessions import TenantSession
from core.errors import InvalidInput, LimitReached, NotFound, Unavailable, Violation
from core.groups.collisions import Collision, Members
from core.groups.members import lock, members_of, page_of, renew
from core.models.control_plane import ControlPlane
from core.models.group_membership import GroupMembership
from core.settings import Settings
from schema.registry import registry

MOST_GROUPS: Final = 64
"""Groups that one control plane may be a member of: each of its changes is one of all of them."""
MOST_CONFLICTS: Final = 256
"""Conflicts that a status shows. Source: the published API."""
_MEMBER_KIND: Final = "CLUSTER_TYPE_CONTROL_PLANE"
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class MemberPage:
    """A part of a group's members; `after` is where the next part starts, None on the last one."""

    items: Sequence[ControlPlane]
    total: int
    after: int | None


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """A group, its members in the order in which they joined, and what they collide in."""

    group: ControlPlane
    members: Sequence[UUID]
    collisions: Sequence[Collision]


class GroupService:
    """The groups of the caller's organization."""

    def __init__(
        self, session: TenantSession, keyring: KeyRing, actor: Actor, settings: Settings, clock: Clock
    ) -> None:
        self._session = session
        self._keyring = keyring
        self._actor = actor
        self._settings = settings
        self._clock = clock

    def page(self, group_id: UUID, size: int, after: int = 0) -> MemberPage:
        """Members in the order in which they joined. Raises NotFound, InvalidInput: it is no group."""
        self._require_group(group_id)
        found = page_of(self._session, self._session.org_id, group_id, size + 1, after)
        counted = select(func.count()).select_from(GroupMembership).where(GroupMembership.group_id == group_id)
        shown = found[:size]
        following = shown[-1][1] if len(found) > size else None
        return MemberPage([row for row, _ in shown], self._session.scalar(counted) or 0, following)

    def replace(self, group_id: UUID, members: Sequence[UUID]) -> None:
        """Have exactly these members; those that stay keep their place in the order. Raises as `add`."""
        self._require_members(members)
        self._change(group_id, members, lambda _present: list(members), all_of_them=True)

    def add(self, group_id: UUID, members: Sequence[UUID]) -> None:
        """Have these members too.

        Raises: NotFound: no such group. InvalidInput: it is no group, or one of them is not there or cannot be a member.
            LimitReached: too many members, groups of one member, entities or bytes. Unavailable: try again.
        """
        self._require_members(members)
        self._change(group_id, members, lambda present: [*present, *members])

    def remove(self, group_id: UUID, members: Sequence[UUID]) -> None:
        """Do without these members; those that are none are passed over. Raises NotFound, InvalidInput, Unavailable."""
        gone = set(members)
        self._change(group_id, members, lambda present: [member for member in present if member not in gone])

    def is_member(self, control_plane_id: UUID) -> bool:
        """Whether a control plane is a member of some group. Raises NotFound."""
        ControlPlaneRepository(self._session).require(control_plane_id)
        statement = select(GroupMembership.group_id).where(GroupMembership.member_id == control_plane_id)
        return self._session.scalar(statement.limit(1)) is not None

    def status(self, group_id: UUID) -> GroupStatus:
        """What the members collide in, as far as it is shown. Raises NotFound, InvalidInput: it is no group."""
        group = self._require_group(group_id)
        sealer = Sealer(self._session, self._keyring, registry(), self._session.org_id, group_id)
        identifiers = self._members(group_id)
        members = Members(self._session, sealer, self._session.org_id, identifiers)
        found: list[Collision] = []
        shown = 0
        for collision in members.collisions(MOST_CONFLICTS):
            if shown >= MOST_CONFLICTS:
                break
            found.append(collision)
            shown += len(collision.holders)
        return GroupStatus(group, identifiers, found)

    def _require_group(self, group_id: UUID) -> ControlPlane:
        group = ControlPlaneRepository(self._session).require(group_id)
        if group.cluster_type != GROUP:
            raise InvalidInput.of("control_plane_id", "must be a control plane group", source="path")
        return group

    def _require_members(self, members: Sequence[UUID]) -> None:
        """Kinds never change, so they can be asked for before anything is locked."""
        statement = select(ControlPlane.id, ControlPlane.cluster_type).where(ControlPlane.id.in_(members))
        kinds = {row.id: row.cluster_type for row in self._session.execute(statement)}
        violations: list[Violation] = []
        for index, member in enumerate(members):
            field = f"members[{index}].id"
            if member not in kinds:
                violations.append(Violation(field, "is not a control plane of this organization", "missing_reference"))
            elif kinds[member] != _MEMBER_KIND:
                violations.append(Violation(field, f"must be of the cluster type {_MEMBER_KIND}"))
        if violations:
            raise InvalidInput(violations)

    def _change(
        self,
        group_id: UUID,
        named: Sequence[UUID],
        wish: Callable[[list[UUID]], list[UUID]],
        *,
        all_of_them: bool = False,
    ) -> None:
        """Make the members what `wish` makes of the present ones. `all_of_them`: it may let go of some that are not named."""
        self._require_group(group_id)
        for _ in range(_ATTEMPTS):
            with self._session.begin_nested() as attempt:
                known = {*named, *(self._members(group_id) if all_of_them else ())}
                held = {row.id: row for row in lock(self._session, self._session.org_id, known)}
                groups = lock(self._session, self._session.org_id, [group_id])
                if not groups:
                    raise NotFound("control plane", group_id)
                present = self._members(group_id)
                wanted = list(dict.fromkeys(wish(present)))
                if set(present) - set(wanted) <= known:
                    self._settle(groups[0], held, present, wanted)
                    return
                attempt.rollback()  # somebody joined before the lock was held; their row has to be locked first
        raise Unavailable("The members of this group are changing; try again")

    def _settle(
        self, group: ControlPlane, held: dict[UUID, ControlPlane], present: list[UUID], wanted: list[UUID]
    ) -> None:
        joining = [member for member in wanted if member not in present]
        leaving = [member for member in present if member not in wanted]
        if not joining and not leaving:
            return
        if len(wanted) > self._settings.max_group_members:
            raise LimitReached("members of a control plane group", self._settings.max_group_members)
        now = self._clock.now()
        for member in joining:
            if member not in held:  # deleted since it was looked at
                raise InvalidInput.of("members", "names a control plane that is not there", rule="missing_reference")
            self._require_room(member)
            held[member].grouped = True
            self._session.add(GroupMembership(group_id=group.id, member_id=member, created_at=now))
            self._session.flush()  # one by one: their order is that of the numbers they are given
        for member in leaving:
            self._session.delete(self._session.get_one(GroupMembership, (group.org_id, group.id, member)))
        self._session.flush()
        renew(self._session, group, now)
        caps = Caps.of(self._settings)
        if joining and group.entity_count > caps.entities:
            raise LimitReached("entities of all members of a control plane group", caps.entities)
        if joining and group.config_bytes > caps.size_bytes:
            raise LimitReached("bytes of configuration of all members of a control plane group", caps.size_bytes)
        self._record(group, joining, leaving)

    def _require_room(self, member: UUID) -> None:
        counted = select(func.count()).select_from(GroupMembership).where(GroupMembership.member_id == member)
        if (self._session.scalar(counted) or 0) >= MOST_GROUPS:
            raise LimitReached("groups of one control plane", MOST_GROUPS)

    def _members(self, group_id: UUID) -> list[UUID]:
        return members_of(self._session, self._session.org_id, group_id)

    def _record(self, group: ControlPlane, joining: Sequence[UUID], leaving: Sequence[UUID]) -> None:
        details = {"added": [str(member) for member in joining], "removed": [str(member) for member in leaving]}
        audit.record(
            self._session,
            self._actor,
            "control_plane_group.members_changed",
            "control_plane",
            group.id,
            control_plane_id=group.id,
            details=details,
        )
