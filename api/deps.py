"""What endpoints ask for: the caller, their database session, the process's services."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from core import logging
from core.actor import Actor
from core.clock import Clock
from core.control_planes.service import ControlPlaneService
from core.crypto import KeyRing
from core.db.engine import Database
from core.db.notices import NoticeBus
from core.db.sessions import TenantSession
from core.errors import Unauthenticated
from core.iam.authentication import Authenticator
from core.iam.passwords import Passwords
from core.settings import Settings

# No token of ours is longer; anything else is not worth hashing.
_MAX_TOKEN_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Services:
    """Made once by the composition root (api/app.py), shared by all requests."""

    settings: Settings
    database: Database
    keyring: KeyRing
    clock: Clock
    notices: NoticeBus
    authenticator: Authenticator
    passwords: Passwords


def services_of(request: Request) -> Services:
    """The services of the application that handles `request`."""
    return cast("Services", request.app.state.services)


def actor_of(request: Request) -> Actor:
    """Who sends `request`; of operations that need a token (`TokenRoute`)."""
    return cast("Actor", request.state.actor)


def bearer_token(request: Request) -> str:
    """The token of the Authorization header. Raises Unauthenticated when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_LENGTH:
        raise Unauthenticated("missing")
    return token


# The session of the request that this context belongs to, once something asked for it.
_session: ContextVar[TenantSession | None] = ContextVar("tenant_session", default=None)


def _committing(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Commit in the thread that ran the endpoint: another trip to the thread pool costs as much as a query."""
    if iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    def run(*arguments: Any, **named: Any) -> Any:
        result = endpoint(*arguments, **named)
        session = _session.get()
        if session is not None:
            session.commit()
            session.close()
        return result

    return run


class TokenRoute(APIRoute):
    """A route that needs a token, and checks it before it reads the body: strangers cannot make us parse anything."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _committing(endpoint), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            authenticator = services_of(request).authenticator
            token = bearer_token(request)
            request_id: str | None = getattr(request.state, "request_id", None)
            actor = authenticator.recall(token, request_id)
            if actor is None:
                actor = await run_in_threadpool(authenticator.authenticate, token, request_id)
            request.state.actor = actor
            logging.bind(org_id=str(actor.organization_id))
            return await handle(request)

        return authenticated


def token_router(*, prefix: str = "", tag: str) -> APIRouter:
    """A router whose operations all need a token. `tag` names the OpenAPI document they appear in."""
    # A missing Content-Type is taken as JSON; a wrong one is 415 (api/problems.py).
    return APIRouter(
        prefix=prefix, tags=[tag], route_class=TokenRoute, redirect_slashes=False, strict_content_type=False
    )


# Async although nothing is awaited: a sync dependency would cost a trip to the thread pool.
async def _services(request: Request) -> Services:
    return services_of(request)


async def _actor(request: Request) -> Actor:
    return actor_of(request)


async def _tenant_session(request: Request) -> AsyncIterator[TenantSession]:
    actor = actor_of(request)
    session = services_of(request).database.tenant_session(actor.organization_id)
    _session.set(session)
    try:
        yield session
        # A sync endpoint has committed in its own thread by now (see _committing). Either way it happens before the
        # first byte of the answer leaves: what the client is told has been committed.
        if session.in_transaction():
            await run_in_threadpool(session.commit)
    finally:
        if session.in_transaction():
            # After a failure the connection may be stuck in a statement; giving it back must not block the event loop.
            await run_in_threadpool(session.close)
        else:
            session.close()


ServicesDep = Annotated[Services, Depends(_services)]
Caller = Annotated[Actor, Depends(_actor)]
TenantDb = Annotated[TenantSession, Depends(_tenant_session, scope="function")]


async def _control_planes(caller: Caller, session: TenantDb, services: ServicesDep) -> ControlPlaneService:
    return ControlPlaneService(session, caller, services.settings, services.clock)


ControlPlanesDep = Annotated[ControlPlaneService, Depends(_control_planes, scope="function")]
