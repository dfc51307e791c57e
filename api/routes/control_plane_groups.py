"""Control plane groups: their members, and what these collide in.

Source: Konnect Control Planes API v2 (shapes and statuses).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Depends, Request
from pydantic import Field

from api.deps import Caller, ServicesDep, TenantDb, token_router
from api.documents import CursorMeta, CursorPage, Instant, RequestBody, ResponseBody
from api.query import bad_cursor, cursor_listing, cursor_parameters, next_page
from api.routes.cloud_gateways import Identifier
from api.routes.control_planes import ControlPlane, shown
from core.control_planes.service import ControlPlaneService
from core.groups.collisions import Collision, Holder
from core.groups.refusals import Refusal, refusals
from core.groups.service import MOST_CONFLICTS, GroupService
from core.models.entities import ENTITY_ROWS

router = token_router(prefix="/v2/control-planes/{control_plane_id}", tag="control-planes")

_MOST_MEMBERS: Final = 1000
_LONGEST_CURSOR: Final = 18


class MemberReference(RequestBody):
    """A control plane by its id."""

    id: Identifier


class GroupMembers(RequestBody):
    """Control planes that are to be, or not to be, members of a group."""

    members: list[MemberReference] = Field(max_length=_MOST_MEMBERS)

    @property
    def ids(self) -> list[UUID]:
        """Each of them once."""
        return list(dict.fromkeys(member.id for member in self.members))


class GroupMemberships(ResponseBody):
    """A part of a group's members."""

    meta: CursorMeta
    data: list[ControlPlane]


class ConflictResource(ResponseBody):
    """An entity."""

    id: UUID
    type: str


class GroupConflict(ResponseBody):
    """An entity of a member that collides with one of another member, or that a runtime refuses."""

    cluster_id: UUID = Field(description="The member; the group, where a runtime's refusal is about no entity.")
    description: str
    resource: ConflictResource


class GroupStatus(ResponseBody):
    """How the members of a group get on with each other."""

    id: UUID
    created_at: Instant
    updated_at: Instant
    conflicts: list[GroupConflict] = Field(max_length=MOST_CONFLICTS)
    state: Literal["OK", "CONFLICT", "UNKNOWN"]


class GroupStatusAnswer(ResponseBody):
    """The status of a group."""

    item: GroupStatus


class GroupMemberStatus(ResponseBody):
    """Whether a control plane is a member of a group."""

    is_member: bool


async def _service(caller: Caller, session: TenantDb, services: ServicesDep) -> GroupService:
    return GroupService(session, services.keyring, caller, services.settings, services.clock)


Service = Annotated[GroupService, Depends(_service, scope="function")]


@router.get(
    "/group-memberships",
    operation_id="get-control-planes-id-group-memberships",
    response_model=GroupMemberships,
    openapi_extra={"parameters": cursor_parameters()},
)
def list_members(
    request: Request,
    control_plane_id: UUID,
    service: Service,
    session: TenantDb,
    caller: Caller,
    services: ServicesDep,
) -> Any:
    """The members of a group, in the order in which they joined."""
    listing = cursor_listing(request.query_params)
    if listing.after and not (listing.after.isdecimal() and len(listing.after) <= _LONGEST_CURSOR):
        raise bad_cursor()
    page = service.page(control_plane_id, listing.size, int(listing.after or 0))
    following = None
    if page.after is not None:
        following = next_page(request.url.path, request.query_params, str(page.after))
    control_planes = ControlPlaneService(session, caller, services.settings, services.clock)
    return {
        "meta": CursorMeta(page=CursorPage(next=following, size=listing.size, total=page.total)),
        "data": shown(page.items, control_planes, services.settings),
    }


@router.put("/group-memberships", operation_id="put-control-planes-id-group-memberships", status_code=204)
def replace_members(control_plane_id: UUID, body: GroupMembers, service: Service) -> None:
    """Have exactly these members in a group. Those that stay keep their rank."""
    service.replace(control_plane_id, body.ids)


@router.post("/group-memberships/add", operation_id="post-control-planes-id-group-memberships-add", status_code=204)
def add_members(control_plane_id: UUID, body: GroupMembers, service: Service) -> None:
    """Have these members in a group too. Those that are members already stay as they are."""
    service.add(control_plane_id, body.ids)


@router.post(
    "/group-memberships/remove", operation_id="post-control-planes-id-group-memberships-remove", status_code=204
)
def remove_members(control_plane_id: UUID, body: GroupMembers, service: Service) -> None:
    """Take members out of a group. Those that are no members are passed over."""
    service.remove(control_plane_id, body.ids)


@router.get(
    "/group-member-status",
    operation_id="get-control-planes-id-group-member-status",
    response_model=GroupMemberStatus,
)
def get_member_status(control_plane_id: UUID, service: Service) -> Any:
    """Whether a control plane is a member of some group."""
    return {"is_member": service.is_member(control_plane_id)}


@router.get("/group-status", operation_id="get-control-planes-id-group-status", response_model=GroupStatusAnswer)
def get_group_status(control_plane_id: UUID, service: Service, services: ServicesDep) -> Any:
    """What the members of a group collide in, the entity that gateways have first, and what runtimes refuse.

    A runtime that refuses anything keeps running the configuration that it had before.
    """
    status = service.status(control_plane_id)
    with services.database.system() as session:
        place = (status.group.org_id, status.group.id)
        refused = refusals(session, *place, status.members, MOST_CONFLICTS)
    conflicts = [*(_refused(refusal) for refusal in refused), *_conflicts(status.collisions)]
    item = {
        "id": status.group.id,
        "created_at": status.group.created_at,
        "updated_at": status.group.config_changed_at,
        "conflicts": conflicts[:MOST_CONFLICTS],
        "state": "CONFLICT" if conflicts else "OK",
    }
    return {"item": item}


def _refused(refusal: Refusal) -> dict[str, Any]:
    resource = {"id": refusal.entity_id or refusal.member_id, "type": refusal.kind or "control_plane"}
    description = f"gateways refuse this and keep the configuration before: {refusal.message}"
    return {"cluster_id": refusal.member_id, "description": description, "resource": resource}


def _conflicts(collisions: Sequence[Collision]) -> list[dict[str, Any]]:
    """Each entity once, however many of its keys collide."""
    found: dict[tuple[UUID, str, UUID], dict[str, Any]] = {}
    for collision in collisions:
        kind = ENTITY_ROWS[collision.plural].entity.spec.singular
        for holder in collision.holders:
            found.setdefault(
                (holder.member_id, kind, holder.entity_id),
                {
                    "cluster_id": holder.member_id,
                    "description": _description(kind, collision, holder),
                    "resource": {"id": holder.entity_id, "type": kind},
                },
            )
    return list(found.values())


def _description(kind: str, collision: Collision, holder: Holder) -> str:
    what = f"ID={holder.entity_id}" if holder.name is None else f"ID={holder.entity_id}, Name={holder.name}"
    same = f"the same {' and '.join(collision.fields)} as in {len(collision.holders) - 1} more of the members"
    first = collision.holders[0]
    if holder is first:
        return f"{kind} {what} has {same}; gateways use this one"
    return f"{kind} {what} has {same}; gateways use that of {first.member_id}, the member that joined first"
