import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from gateway_runtime.client import (
    Answer,
    ConfigUpdate,
    ControlPlaneUnavailable,
    HttpControlPlane,
    NotGiven,
    Removed,
    RequestRefused,
    Version,
)

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"


def ask(handler: Callable[[httpx.Request], httpx.Response], call: Callable[[HttpControlPlane], object]) -> object:
    async def body() -> object:
        client = HttpControlPlane("http://api.test/", lambda: "token", transport=httpx.MockTransport(handler))
        try:
            return await call(client)  # type: ignore[misc]
        finally:
            await client.aclose()

    return asyncio.run(body())


async def fetched(client: HttpControlPlane, have: dict[str, int | None]) -> list[Answer]:
    return [answer async for answer in client.fetch(have)]


def line(key: str, **members: object) -> bytes:
    return json.dumps({"kind": "snapshot", "control_plane_id": key, "version": 4} | members).encode() + b"\n"


def test_fetch_names_node_and_versions() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=line(A, kind="delta", from_version=3) + line(B))

    delta, snapshot = ask(handler, lambda client: fetched(client, {A: 3, B: None}))  # type: ignore[misc]
    assert seen[0].headers["Authorization"] == "Sluice-Node token"
    assert (seen[0].method, str(seen[0].url)) == ("POST", "http://api.test/runtime/v1/configs")
    assert json.loads(seen[0].content)["items"] == [
        {"control_plane_id": A, "from_version": 3},
        {"control_plane_id": B, "from_version": None},
    ]
    assert (delta.control_plane_id, delta.is_snapshot, delta.from_version, delta.version) == (A, False, 3, 4)
    assert (snapshot.control_plane_id, snapshot.is_snapshot) == (B, True)
    assert snapshot.document == line(B).rstrip(b"\n")


def test_lines_may_come_in_any_pieces_and_compressed() -> None:
    whole = line(A, hosts=["\u2028.test"]) + line(B)
    packed = gzip.compress(whole)

    async def pieces() -> AsyncIterator[bytes]:
        for index in range(len(packed)):
            yield packed[index : index + 1]

    response = httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=pieces())
    answers = ask(lambda _request: response, lambda client: fetched(client, {A: None, B: None}))
    assert [answer.control_plane_id for answer in answers] == [A, B]  # type: ignore[attr-defined]


def test_a_line_that_is_not_understood_does_not_stop_the_others() -> None:
    content = (
        b"<html>\n"
        + line(A, kind="other")
        + line(A, version="x")
        + b'{"kind":"failed","control_plane_id":"a"}\n'
        + line(B)
    )
    answers = ask(
        lambda _request: httpx.Response(200, content=content), lambda client: fetched(client, {A: None, B: None})
    )
    assert [type(answer) for answer in answers] == [NotGiven, ConfigUpdate]  # type: ignore[attr-defined]


def test_what_came_before_a_cut_is_given() -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield line(A) + line(B)[:20]
        raise httpx.ReadError("reset")

    answers: list[Answer] = []

    async def follow(client: HttpControlPlane) -> None:
        async for answer in client.fetch({A: None, B: None}):
            answers.append(answer)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ControlPlaneUnavailable, match="reset"):
        ask(lambda _request: httpx.Response(200, content=cut()), follow)
    assert [answer.control_plane_id for answer in answers] == [A]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_no_update_is_read_that_is_larger_than_any_may_be(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    document = line(A, entities={"services": ["x" * 1000]}).rstrip(b"\n")
    content = gzip.compress(document + end)
    monkeypatch.setattr("gateway_runtime.client.MOST_UPDATE_BYTES", len(document) - 1)
    with pytest.raises(ControlPlaneUnavailable, match="an update of more than"):
        ask(
            lambda _request: httpx.Response(200, content=content, headers={"Content-Encoding": "gzip"}),
            lambda client: fetched(client, {A: None}),
        )


@pytest.mark.parametrize("status", [401, 404, 500])
def test_fetch_failures(status: int) -> None:
    with pytest.raises(ControlPlaneUnavailable):
        ask(lambda _request: httpx.Response(status), lambda client: fetched(client, {A: None}))


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
