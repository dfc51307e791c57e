"""The list of control planes as it was called before: what decK finds a control plane by its name with.

Source: go-database-reconciler, which every released decK contains.
"""

from typing import Any, Final

from fastapi import Request

from api.deps import ControlPlanesDep, ServicesDep, token_router
from api.documents import ResponseBody
from api.query import MAX_SIZE, integer
from api.routes.control_planes import ControlPlane, shown
from core.listing import Listing

router = token_router(prefix="/konnect-api/api/runtime_groups", tag="control-planes")

_SIZE: Final = 100
_MOST_PAGES: Final = 1_000_000


class RuntimeGroups(ResponseBody):
    """A page of control planes. The last page is the one whose number is `pageCount`."""

    data: list[ControlPlane]
    page: int
    pageCount: int  # noqa: N815 - as clients read it


@router.get(
    "",
    operation_id="list-runtime-groups",
    response_model=RuntimeGroups,
    openapi_extra={
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": meaning,
                "schema": {"type": "integer", "minimum": 1},
            }
            for name, meaning in (("page", "Which page, from 1."), ("size", "Items per page."))
        ]
    },
)
def list_runtime_groups(
    request: Request,
    service: ControlPlanesDep,
    services: ServicesDep,
) -> Any:
    """All control planes of the organization, oldest first."""
    number = integer(request.query_params, "page", 1, _MOST_PAGES)
    size = integer(request.query_params, "size", _SIZE, MAX_SIZE)
    page = service.page(Listing(number, size))
    data = shown(page.items, service, services.settings)
    return {"data": data, "page": number, "pageCount": max(1, -(-page.total // size))}
