"""Client and echo backend against each other over real sockets, with the backend in the gateway's place."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import threading
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import pytest

from tests.conformance.case import CaseError, Document, parse_case
from tests.conformance.certificates import backend_identity, server_context
from tests.conformance.client import Target
from tests.conformance.echo import Backends
from tests.conformance.files import CaseSource
from tests.conformance.judge import ReportedError
from tests.conformance.run import Settings, main, play_all

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from tests.conformance.play import Launch, Outcome

pytestmark = pytest.mark.conformance


class Passage:
    """A stand-in gateway: its ports are an echo backend's, and any configuration with `bad` in it is refused."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls, _nameserver: str | None) -> AsyncGenerator[Passage, None]:
        async with Backends({"$upstream", "$upstream_tls"}) as backends:
            yield cls(backends)

    def target(self, scheme: str, listener: str) -> Target:
        host, port = self._backends.addresses["$upstream_tls" if scheme == "https" else "$upstream"]
        return Target(host, port, scheme == "https")

    async def configure(
        self, config: Document, options: Document, tenant: str = "", hosts: Sequence[str] = ()
    ) -> list[ReportedError]:
        return [ReportedError("plugin", "config.bad[0]", "unknown field")] if "bad" in config else []

    async def health(self, tenant: str = "") -> dict[str, dict[str, str]]:
        return {}

    async def set_health(self, upstream: str, target: str, *, healthy: bool) -> bool:
        return False

    async def logged(self, path: str) -> bytes:
        return b""

    async def figures(self, tenant: str = "") -> str:
        return ""

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Http2Passage(Passage):
    """A stand-in gateway that speaks HTTP/2 with and without TLS and answers with what it was asked."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(cls, _nameserver: str | None) -> AsyncGenerator[Http2Passage, None]:
        tls = server_context(backend_identity())
        tls.set_alpn_protocols(["h2"])
        async with (
            await asyncio.start_server(answer_http2, "127.0.0.1", 0) as plain,
            await asyncio.start_server(answer_http2, "127.0.0.1", 0, ssl=tls) as secure,
        ):
            yield cls([server.sockets[0].getsockname()[1] for server in (plain, secure)])

    def target(self, scheme: str, listener: str) -> Target:
        return Target("127.0.0.1", self._ports[scheme == "https"], scheme == "https")


async def answer_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    headers: list[tuple[str, str]] = []
    body = b""
    writer.write(connection.data_to_send())
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                headers = [(str(name), str(value)) for name, value in event.headers or []]
            elif isinstance(event, h2.events.DataReceived):
                body += event.data or b""
                connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 1)
            elif isinstance(event, h2.events.StreamEnded):
                answer = json.dumps({"headers": headers, "bytes": len(body)}).encode()
                connection.send_headers(1, [(":status", "200"), ("x-a", "1"), ("x-a", "2")])
                connection.send_data(1, answer, end_stream=True)
        writer.write(connection.data_to_send())
        await writer.drain()
    writer.close()


def outcome_of(document: Document, launch: Launch = Passage.launch) -> Outcome:
    try:
        source = CaseSource("file.yaml", "case", document, parse_case(document))
    except CaseError as error:
        source = CaseSource("file.yaml", "case", document, None, str(error))
    return asyncio.run(play_all([source], Settings(), launch))[0]


def differences(*steps: Document, **case: object) -> list[tuple[str, str]]:
    outcome = outcome_of({"steps": list(steps), **case})
    return [(failure.difference.what, failure.difference.got) for failure in outcome.failures]


def test_a_request_and_its_answer() -> None:
    send = {"path": "/a%2Fb?q", "headers": {"X-Many": ["a", "b"]}, "body": "hé", "method": "POST"}
    lines = [["Host", "example.test"], ["User-Agent", "sluice-conformance"], ["X-Many", "a"], ["X-Many", "b"]]
    document = {"method": "POST", "path": "/a%2Fb?q", "headers": [*lines, ["Content-Length", "3"]], "body": "hé"}

    assert differences({"send": send, "expect": {"status": 200, "reason": "OK", "json": document}}) == []


@pytest.mark.parametrize(
    "send",
    [
        {"scheme": "https"},
        {"scheme": "https", "sni": "echo.test"},
        {"version": "1.0"},
        {"from": "127.9.8.7"},
        {"chunks": ["a", "b"]},
        {"method": "HEAD"},
        {"headers": {"x-echo-status": "204"}},
        {"headers": {"x-echo-set-transfer-encoding": "chunked"}},
        {"headers": {"x-echo-close": "mid-body"}},
        {"headers": {f"x-{number}": "v" for number in range(300)}},
        {"body": "x" * 3_000_000, "headers": {"x-echo-body": "ok"}},
    ],
)
def test_ways_to_send(send: Document) -> None:
    assert differences({"send": send, "expect": {"status": [200, 204]}}) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_http2(scheme: str) -> None:
    send = {
        "version": "2",
        "scheme": scheme,
        "host": "a.test",
        "path": "/x?y",
        "method": "POST",
        "headers": {"X-B": "1"},
    }
    lines = [[":method", "POST"], [":scheme", scheme], [":path", "/x?y"], [":authority", "a.test"]]
    lines += [["user-agent", "sluice-conformance"], ["x-b", "1"]]
    # Larger than the first flow-control window, so that sending has to wait for updates.
    steps = [
        {"send": {**send, "chunks": ["x" * 200_000, "y"]}, "expect": {"json": {"headers": lines, "bytes": 200_001}}},
        {"repeat": 2, "send": send, "expect": {"status": 200, "headers": {"x-a": ["1", "2"]}, "json": {"bytes": 0}}},
    ]

    assert outcome_of({"steps": steps}, Http2Passage.launch).failures == []


def test_a_gateway_without_http2_gives_no_answer() -> None:
    ((what, got),) = differences({"send": {"version": "2"}, "expect": {"status": 200}})

    assert what == "answer"
    assert "closed" in got or "valid" in got


def test_no_answer_is_a_difference() -> None:
    (difference,) = differences({"send": {"headers": {"x-echo-close": "before-headers"}}, "expect": {"status": 200}})

    assert difference == ("answer", "connection closed before an answer")


def test_repeat_keeps_the_connection_and_parallel_counts() -> None:
    step = {"send": {}, "repeat": 3, "expect": {"status": 200, "count": {"status": {200: 3}}}}
    assert differences(step) == []
    assert differences({"send": {}, "parallel": 5, "expect": {"status": 200, "count": {"status": {200: 5}}}}) == []
    (difference,) = differences({"send": {}, "parallel": 5, "expect": {"count": {"status": {200: 4}}}})
    assert difference == ("count.status", '{"200": 5}')


def test_the_first_failing_step_ends_the_case() -> None:
    outcome = outcome_of({"steps": [{"send": {}, "expect": {"status": 500}}, {"send": {}, "expect": {"status": 501}}]})

    assert [failure.step for failure in outcome.failures] == [1]


@pytest.mark.parametrize(
    ("step", "passes"),
    [
        ({"configure": {}}, True),
        ({"configure": {"bad": 1}}, False),
        ({"configure": {"bad": 1}, "expect": "rejected"}, True),
        ({"configure": {}, "expect": "rejected"}, False),
        ({"configure": {"bad": 1}, "expect": "rejected", "errors": [{"field": "config.bad", "contains": "unk"}]}, True),
        ({"configure": {"bad": 1}, "expect": "rejected", "errors": [{"field": "config.worse"}]}, False),
    ],
)
def test_configure(step: Document, passes: bool) -> None:
    assert (differences(step) == []) is passes


def test_a_refused_configuration_fails_the_case() -> None:
    ((what, got),) = differences({"send": {}}, config={"bad": "$upstream"})

    assert what == "configure"
    assert "unknown field" in got


def test_the_upstream_is_watched() -> None:
    """The stand-in's own backend is not the case's, so nothing reaches the case's."""
    config = {"url": "$upstream"}
    assert differences({"send": {}, "expect": {"upstream": None}}, config=config) == []
    (difference,) = differences({"send": {}, "expect": {"upstream": {"method": "GET"}}}, config=config)
    assert difference == ("upstream", "no request")


def test_requests_of_a_gateway_are_judged() -> None:
    async def run() -> tuple[list[str], bytes]:
        async with Backends({"$upstream", "$upstream_down"}) as backends:
            host, port = backends.addresses["$upstream"]
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"PUT /x HTTP/1.1\r\nA:  b \r\nContent-Length: 1\r\n\r\nz")
            answer = await reader.readuntil(b"}")
            (request,) = await backends.record.settle(0, 1, 1.0)
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*backends.addresses["$upstream_down"])
            return [request.backend, request.method, request.path, bytes(request.body.data).decode()], answer

    seen, answer = asyncio.run(run())
    assert seen == ["$upstream", "PUT", "/x", "z"]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"] == [["A", "b"], ["Content-Length", "1"]]


class TestCommandLine:
    def run(self, tmp_path: Path, text: str, **environment: str) -> int:
        (tmp_path / "a.yaml").write_text(text)
        return main({"CASES": str(tmp_path), **environment})

    def test_a_broken_file_is_a_failure_and_reported(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report = tmp_path / "out" / "report.json"
        assert self.run(tmp_path, "stepz: []", REPORT=str(report)) == 1

        printed = capsys.readouterr().out.splitlines()
        assert printed[0].startswith("FAILED ")
        assert printed[-1] == "0 passed, 1 failed, 0 skipped"
        assert json.loads(report.read_text())["failed"] == 1

    def test_a_missing_ability_fails_by_name_or_is_skipped_on_demand(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = "requires: [http3]\nsteps: [{send: {}}]"
        assert self.run(tmp_path, text) == 1
        assert "http3" in capsys.readouterr().out
        assert self.run(tmp_path, text, ALLOW_MISSING="http3") == 0
        assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed, 1 skipped"

    def test_tags_can_be_skipped_and_names_selected(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        text = "description: Some case\nfeatures: [slow]\nsteps: [{send: {}}]"
        assert self.run(tmp_path, text, SKIP="slow") == 0
        assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed, 1 skipped"
        assert self.run(tmp_path, text, ONLY="other") == 2
        assert self.run(tmp_path, text, FEATURES="fast") == 2
        assert self.run(tmp_path, text, ONLY="SOME", SKIP="slow") == 0

    @pytest.mark.parametrize("environment", [{"CASES": "/nowhere"}, {"PARALLEL": "0"}, {"PARALLEL": "many"}])
    def test_wrong_settings(self, environment: dict[str, str]) -> None:
        assert main(environment) == 2


def test_nothing_stays_behind() -> None:
    before = threading.active_count()
    differences({"send": {"scheme": "https"}})
    assert threading.active_count() == before


@pytest.mark.parametrize("turns", range(4))
def test_backends_that_end_while_clients_come_in_leave_no_socket_open(turns: int) -> None:
    async def come_in_and_end() -> None:
        async with Backends({"$upstream"}) as backends:
            client = socket.create_connection(backends.addresses["$upstream"], timeout=10)
            for _ in range(turns):
                await asyncio.sleep(0)
        with client, contextlib.suppress(ConnectionResetError):
            # What the backend left open would never come to an end.
            assert await asyncio.to_thread(client.recv, 1) == b""

    asyncio.run(come_in_and_end())
    gc.collect()  # a socket that nobody closed complains now, which fails the test
