"""The API's composition root: everything is made here and handed down."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio.to_thread
from fastapi import FastAPI
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from api import entity_documents, openapi, problems
from api.deps import Services
from api.dispatch import Dispatcher
from api.middleware import RequestContext
from api.routes import ROUTERS
from core.clock import Clock, SystemClock
from core.crypto import KeyRing
from core.db.engine import Database
from core.db.notices import NoticeBus, PostgresNotices
from core.iam.authentication import Authenticator
from core.iam.passwords import Passwords
from core.settings import Settings
from schema.registry import registry
from schema.version import VERSION

_CONSOLE: Final = Path(__file__).parent.parent / "console"


def create_app(
    settings: Settings,
    database: Database,
    *,
    clock: Clock | None = None,
    notices: NoticeBus | None = None,
) -> FastAPI:
    """The ASGI application. The caller owns `database` and closes it after the application has stopped.

    Raises: SettingsError: the master key is not set.
    """
    clock = clock or SystemClock()
    keyring = KeyRing(settings.require_master_key())
    app = FastAPI(
        title="Sluice",
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_bound_threads,
    )
    app.state.services = Services(
        settings=settings,
        database=database,
        keyring=keyring,
        clock=clock,
        notices=notices or PostgresNotices(database.url),
        authenticator=Authenticator(database, keyring, clock),
        passwords=Passwords(),
    )
    problems.install(app)
    app.add_middleware(RequestContext, max_body_bytes=settings.max_body_bytes)
    for router in ROUTERS:
        # As one flat list: `include_router` nests, and the framework then matches every path twice, at three times the
        # cost per route. Our routers bring their own prefixes and tags, so there is nothing to combine.
        app.router.routes.extend(router.routes)
    entity_documents.describe(app, registry())
    openapi.describe(app, registry())
    _mount_console(app)
    app.router.middleware_stack = Dispatcher(app.router)
    return app


@asynccontextmanager
async def _bound_threads(app: FastAPI) -> AsyncGenerator[None]:
    """No more request threads than connections: a thread that waits for a connection would only hold up the others."""
    services: Services = app.state.services
    anyio.to_thread.current_default_thread_limiter().total_tokens = services.settings.database_pool_size
    yield


def _mount_console(app: FastAPI) -> None:
    """`/` shows the console where its files are installed, and what runs here where they are not."""
    page = _CONSOLE / "index.html"
    if page.is_file():
        app.mount("/console", StaticFiles(directory=_CONSOLE, html=True), name="console")

    async def get_root() -> Response:
        if page.is_file():
            return FileResponse(page)
        return JSONResponse({"product": "sluice", "version": VERSION})

    app.add_api_route("/", get_root, methods=["GET"], include_in_schema=False)
