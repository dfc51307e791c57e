"""The API process: one application behind an HTTP and, when a certificate is given, an HTTPS listener."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, cast

import uvicorn

from api.app import create_app
from cli.configuration import local_settings
from cli.faults import Fault
from cli.up import secrets
from cli.up.state import StateDir
from core import logging
from core.db.engine import Database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Requests in flight get this long at a stop; runtimes' streams are open for ever and would never end by themselves.
_GRACE_SECONDS = 2
_BACKLOG = 1024


class TwoListenerServer(uvicorn.Server):
    """A uvicorn server that also accepts TLS connections on a second socket: same application, one life cycle."""

    def __init__(self, config: uvicorn.Config, tls_socket: socket.socket | None, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls_socket = tls_socket
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._tls_socket is None or not self.started:
            return

        def protocol() -> asyncio.Protocol:
            # As uvicorn does it; the protocol finds out from its transport that the scheme is https.
            make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
            return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        loop = asyncio.get_running_loop()
        server = await loop.create_server(protocol, sock=self._tls_socket, ssl=self._tls, backlog=_BACKLOG)
        self.servers.append(server)


def serve(tls_files: tuple[Path, Path] | None, *, development_tls: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. `tls_files` are certificate chain and key, PEM.

    With `development_tls` they are made in the state directory, signed by a CA made there.

    Raises: Fault: a port is taken or the certificate is unusable.
    """
    settings = local_settings()
    logging.configure(settings.log_level)
    if development_tls:
        tls_files = secrets.ensure_api_certificate(StateDir.at(settings.state_dir), settings.api_tls_names)
    context = None if tls_files is None else _tls_context(*tls_files)
    sockets = [_listen(settings.api_host, settings.api_listen_port)]
    tls_socket = None if context is None else _listen(settings.api_host, settings.api_listen_tls_port)
    database = Database(settings.require_database_url(), pool_size=settings.database_pool_size)
    config = uvicorn.Config(
        create_app(settings, database),
        log_config=None,
        access_log=False,
        server_header=False,
        loop="uvloop",
        http="httptools",
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        proxy_headers=False,
    )
    try:
        TwoListenerServer(config, tls_socket, context).run(sockets)
    finally:
        database.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Fault(f"the API cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def _tls_context(certificate_file: Path, key_file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise Fault(
            f"certificate {certificate_file} with key {key_file} is not usable: {type(error).__name__}"
        ) from error
    return context
