"""For machines that watch this process, and for people who open its address in a browser."""

from typing import Any

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from api.deps import ServicesDep
from core.errors import DatabaseUnreachable
from schema.version import VERSION

router = APIRouter(redirect_slashes=False, include_in_schema=False)


@router.get("/healthz")
async def get_health() -> dict[str, str]:
    """The process runs; says nothing of what it depends on."""
    return {"status": "ok", "version": VERSION}


@router.get("/readyz")
async def get_readiness(services: ServicesDep, response: Response) -> dict[str, Any]:
    """Whether requests can be served: the database answers."""
    try:
        await run_in_threadpool(services.database.check)
    except DatabaseUnreachable:
        response.status_code = 503
        return {"status": "unavailable", "database": "unreachable"}
    return {"status": "ok", "database": "ok"}
