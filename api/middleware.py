"""What happens to every request before and after routing: identity, limits, the access log, the last resort.

One plain ASGI class on purpose: each layer of middleware costs every request, and a sync endpoint sees only what was
bound to the context before it was called.
"""

import re
import secrets
import time
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import statuses
from api.problems import http_error, internal_error
from core import logging
from schema.version import PRODUCT

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SERVER: Final = (b"server", PRODUCT.encode())

log = logging.get_logger("api.access")


def _without_content(send: Send) -> Send:
    """The head of a GET and nothing else (RFC 9110 section 9.3.2)."""

    async def head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return head


class BodyTooLarge(HTTPException):
    """The request's body is larger than the setting allows."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(413, f"The body is larger than {limit_bytes} bytes")


class RequestContext:
    """Gives each request its id, bounds its body, logs it, and answers 500 for whatever nobody handled."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid4())
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        # The number that problem documents show; it finds this request in the log.
        state["trace"] = secrets.randbits(63)
        logging.clear()
        logging.bind(request_id=request_id)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], _SERVER, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if "\0" in scope["path"]:
                # Nothing is called like this, and PostgreSQL would refuse to look it up.
                await http_error(Request(scope), HTTPException(404))(scope, receive, answer)
                return
            if scope["method"] == "HEAD" and statuses.applies_to(scope["path"]):
                await self._app({**scope, "method": "GET"}, self._bounded(scope, receive), _without_content(answer))
                return
            await self._app(scope, self._bounded(scope, receive), answer)
        except Exception:
            log.exception("request.failed", method=scope["method"], path=scope["path"], trace=state["trace"])
            if status:
                raise  # the head is out; the server closes the connection, so nobody takes half for the whole
            response = internal_error(Request(scope))
            await response(scope, receive, answer)
        finally:
            actor = state.get("actor")
            log.info(
                "request.served",
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
                trace=state["trace"] if status >= 400 else None,
                org_id=str(actor.organization_id) if actor is not None else None,
            )

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        limit = self._max_body_bytes
        declared = Headers(scope=scope).get("content-length", "")
        received = 0

        async def take() -> Message:
            nonlocal received
            if declared.isdecimal() and int(declared) > limit:
                raise BodyTooLarge(limit)
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise BodyTooLarge(limit)
            return message

        return take
