import asyncio
import gzip
import json
from collections.abc import Callable

import httpx
import pytest

from gateway_runtime.client import (
    ControlPlaneUnavailable,
    HttpControlPlane,
    NotAssigned,
    Removed,
    RequestRefused,
    Version,
)

A = "aaaaaaaa-0000-4000-8000-000000000001"


def ask(handler: Callable[[httpx.Request], httpx.Response], call: Callable[[HttpControlPlane], object]) -> object:
    async def body() -> object:
        client = HttpControlPlane("http://api.test/", lambda: "token", transport=httpx.MockTransport(handler))
        try:
            return await call(client)  # type: ignore[misc]
        finally:
            await client.aclose()

    return asyncio.run(body())


def test_fetch_names_node_and_version() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"kind": "delta", "from_version": 3, "version": 4})

    update = ask(handler, lambda client: client.fetch(A, 3))
    assert seen[0].headers["Authorization"] == "Sluice-Node token"
    assert str(seen[0].url) == f"http://api.test/runtime/v1/control-planes/{A}/config?from_version=3"
    assert (update.is_snapshot, update.from_version, update.version) == (False, 3, 4)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(404), NotAssigned),
        (httpx.Response(500), ControlPlaneUnavailable),
        (httpx.Response(401), ControlPlaneUnavailable),
        (httpx.Response(200, content=b"<html>"), ControlPlaneUnavailable),
        (httpx.Response(200, json={"kind": "other", "version": 1}), ControlPlaneUnavailable),
    ],
)
def test_fetch_failures(response: httpx.Response, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(lambda _request: response, lambda client: client.fetch(A, None))


def test_no_update_is_read_that_is_larger_than_any_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.dumps({"kind": "snapshot", "version": 1, "entities": {"services": ["x" * 1000]}}).encode()
    compressed = httpx.Response(200, content=gzip.compress(document), headers={"Content-Encoding": "gzip"})
    monkeypatch.setattr("gateway_runtime.client.MOST_UPDATE_BYTES", len(document) - 1)
    with pytest.raises(ControlPlaneUnavailable, match="an update of more than"):
        ask(lambda _request: compressed, lambda client: client.fetch(A, None))


def test_transport_failure_is_unavailable() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ControlPlaneUnavailable, match="refused"):
        ask(handler, lambda client: client.heartbeat({}))


def test_stream_is_read_line_by_line_and_its_end_is_an_error() -> None:
    lines = [
        {"type": "version", "control_plane_id": A, "version": 2, "later_addition": 1},
        {"type": "ping"},
        {"type": "removed", "control_plane_id": A},
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    heard: list[object] = []

    async def follow(client: HttpControlPlane) -> None:
        async for message in client.stream():
            heard.append(message)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ControlPlaneUnavailable, match="ended"):
        ask(lambda _request: httpx.Response(200, content=content), follow)
    assert isinstance(heard[0], Version)
    assert isinstance(heard[2], Removed)


def test_nonsense_on_the_stream_is_unavailable() -> None:
    async def follow(client: HttpControlPlane) -> None:
        async for _ in client.stream():
            pass

    with pytest.raises(ControlPlaneUnavailable):
        ask(lambda _request: httpx.Response(200, content=b'{"type": "nonsense"}\n'), follow)


def test_acknowledgement() -> None:
    seen: list[object] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(204)

    ask(handler, lambda client: client.acknowledge("n", [{"version": 1}]))
    assert seen == [("POST", "/runtime/v1/acks", {"node_id": "n", "items": [{"version": 1}]})]


@pytest.mark.parametrize(
    ("status", "error"), [(400, RequestRefused), (413, RequestRefused), (503, ControlPlaneUnavailable)]
)
def test_refusals_are_told_from_outages(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(lambda _request: httpx.Response(status), lambda client: client.acknowledge("n", []))
