"""Standing guards over errors: each is mapped, each has the form that clients decode, none tells more than it should."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

import api.app  # noqa: F401  # whatever the application imports may declare errors
from api import problems, statuses
from api.app import create_app
from core import errors
from core.db.engine import Database
from core.errors import DomainError
from core.settings import Settings
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant


def subclasses(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_domain_error_has_a_status() -> None:
    missing = [kind.__name__ for kind in subclasses(DomainError) if kind not in problems.STATUS]

    assert missing == []
    assert all(400 <= status <= 503 and status != 500 for status in problems.STATUS.values())


def test_codes_are_stable_and_unique() -> None:
    codes = [kind.code for kind in subclasses(DomainError)]

    assert len(codes) == len(set(codes))
    assert DomainError.code not in codes


def test_unknown_path(client: TestClient) -> None:
    for path in ("/v2/nope", "/v9", "/v2/control-planes/", "/V2/control-planes"):
        assert_problem(client.get(path), 404)
        assert_problem(client.post(path, json={}), 404)


def test_empty_segments_are_neither_collapsed_nor_redirected(client: TestClient, tenant: Tenant) -> None:
    for path in ("//v2/control-planes", "/v2//control-planes", "/v2/cloud-gateways/networks//transit-gateways"):
        assert_problem(client.get(path), 404)
    assert_problem(client.get(f"/v3/users/{tenant.user_id}//access-tokens"), 404)


def test_nul_in_a_path(client: TestClient) -> None:
    assert_problem(client.get("/v2/control-planes/a%00b"), 404)


def test_unknown_path_below_core_entities(client: TestClient) -> None:
    response = client.get(f"/v2/control-planes/{uuid4()}/core-entities/nope")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"code": 5, "message": "Not found", "details": []}


def test_wrong_method(client: TestClient) -> None:
    response = client.put("/v2/control-planes", json={})

    assert_problem(response, 405)
    assert response.headers["allow"] == "GET, POST"
    assert client.post(f"/v2/control-planes/{uuid4()}", json={}).headers["allow"] == "DELETE, GET, PATCH"


def test_wrong_method_below_core_entities(client: TestClient) -> None:
    response = client.put(f"/v2/control-planes/{uuid4()}/core-entities/services", json={})

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert response.json()["code"] == 12


@pytest.mark.parametrize("depth", [100, 500, 990, 5_000, 100_000])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("field", ["name", "labels"])
def test_deep_bodies(client: TestClient, depth: int, start: str, end: str, field: str) -> None:
    deep = start * depth + "1" + end * depth
    content = f'{{"name": "cp", "{field}": {deep}}}'.encode()

    response = client.post("/v2/control-planes", content=content, headers={"Content-Type": "application/json"})

    assert {name.split(".")[0] for name, _ in violations(response)} <= {field, "body"}


def test_bodies_with_more_mistakes_than_anybody_reads(client: TestClient) -> None:
    some = client.post("/v2/control-planes", json={f"f{number}": 1 for number in range(1000)})
    items = assert_problem(some, 400)["invalid_parameters"]
    assert len(items) == 201
    assert items[-1] == {
        "field": "body", "reason": "has 801 more violations that are not listed", "rule": "invalid", "source": "body",
    }  # fmt: skip

    many = client.post("/v2/control-planes", json={f"f{number}": 1 for number in range(200_000)})
    assert violations(many) == {("body", "invalid")}
    assert violations(client.post("/v2/control-planes", json={"name": "cp", "labels": {"a": [1] * 200_000}})) == {
        ("body", "invalid")
    }


@pytest.mark.parametrize("content", [b'{"name": "\xff"}', b'{"name": 1' + b"0" * 5000 + b"}"])
def test_bodies_that_cannot_be_read(client: TestClient, content: bytes) -> None:
    response = client.post("/v2/control-planes", content=content, headers={"Content-Type": "application/json"})

    assert violations(response) == {("body", "invalid")}
    assert response.json()["invalid_parameters"][0]["source"] == "body"


class TestBodyLimit:
    def test_declared(self, client: TestClient, settings: Settings) -> None:
        content = b" " * (settings.max_body_bytes + 1)
        response = client.post("/v2/control-planes", content=content, headers={"Content-Type": "application/json"})

        assert_problem(response, 413)

    def test_chunked(self, client: TestClient, settings: Settings) -> None:
        def chunks() -> Iterator[bytes]:
            for _ in range(settings.max_body_bytes // 65536 + 2):
                yield b" " * 65536

        response = client.post("/v2/control-planes", content=chunks(), headers={"Content-Type": "application/json"})

        assert_problem(response, 413)

    def test_up_to_the_limit(self, client: TestClient, settings: Settings) -> None:
        body = b'{"name": "cp"}'
        content = body + b" " * (settings.max_body_bytes - len(body))
        response = client.post("/v2/control-planes", content=content, headers={"Content-Type": "application/json"})

        assert response.status_code == 201


def test_other_media_types_are_not_guessed(client: TestClient) -> None:
    body = assert_problem(client.post("/v2/control-planes", data={"name": "cp"}), 415)

    assert "application/json" in body["detail"]


def test_json_without_a_media_type(client: TestClient) -> None:
    assert client.post("/v2/control-planes", content=b'{"name": "cp"}').status_code == 201


@pytest.mark.parametrize("request_id", ["abc-1", "x" * 128])
def test_request_id_is_kept(client: TestClient, request_id: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": request_id}).headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "<script>", "é"])
def test_request_id_that_is_none_is_replaced(client: TestClient, request_id: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": request_id.encode()}).headers["x-request-id"]

    assert len(answer) == 36


def test_server_says_what_it_is(client: TestClient) -> None:
    response = client.get("/healthz")

    assert response.headers.get_list("server") == [response.headers["server"]]
    assert response.headers["server"].startswith("sluice/")


class TestOurOwnFaults:
    """An application whose insides break."""

    @pytest.fixture
    def broken(self, settings: Settings, database: Database) -> Iterator[tuple[FastAPI, TestClient]]:
        app = create_app(settings, database)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield app, client

    def test_bug(self, broken: tuple[FastAPI, TestClient]) -> None:
        app, client = broken

        @app.get("/bug")
        def bug() -> None:
            raise ValueError("the password is hunter2")

        body = assert_problem(client.get("/bug"), 500)

        assert "hunter2" not in str(body)
        assert "password" not in str(body)

    def test_bug_below_core_entities(self, broken: tuple[FastAPI, TestClient]) -> None:
        app, client = broken

        @app.get("/v2/control-planes/{cp}/core-entities/bug")
        def bug(cp: str) -> None:
            raise ValueError(cp)

        response = client.get("/v2/control-planes/x/core-entities/bug")
        assert response.status_code == 500
        assert response.json() == {"code": 13, "message": "An internal error occurred", "details": []}

    def test_database_is_gone(self, broken: tuple[FastAPI, TestClient]) -> None:
        app, client = broken

        @app.get("/gone")
        def gone() -> None:
            raise OperationalError("select", {}, Exception("server closed the connection"))

        response = client.get("/gone")
        assert_problem(response, 503)
        assert response.headers["retry-after"] == "1"

    def test_no_database_at_all(self, settings: Settings, tenant: Tenant) -> None:
        database = Database("postgresql://nobody:hunter2@127.0.0.1:1/none")
        with TestClient(create_app(settings, database), raise_server_exceptions=False) as client:
            response = client.get("/v3/users/me", headers=tenant.headers)
            assert_problem(response, 503)
            assert "hunter2" not in response.text
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 503


class TestRendering:
    def test_rule_families(self) -> None:
        violation = errors.Violation
        shown = problems.invalid_parameter

        assert shown(violation("a", "r", "min_length", bound=2))["minimum"] == 2
        assert shown(violation("a", "r", "max_items", bound=5))["maximum"] == 5
        assert shown(violation("a", "r", "enum", choices=["x"]))["choices"] == ["x"]
        assert shown(violation("a", "r", "dependent_fields", dependents=["b"]))["dependents"] == ["b"]
        assert shown(violation("a", "r", None, source=None)) == {
            "field": "a", "reason": "r", "rule": None, "source": None,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/v2/control-planes/x/core-entities", True),
            ("/v2/control-planes/x/core-entities/services", True),
            ("/v2/control-planes/x/core-entitiesx", False),
            ("/v2/control-planes/core-entities", False),
            ("/v2/control-planes/x", False),
        ],
    )
    def test_which_paths_have_the_other_form(self, path: str, expected: Any) -> None:
        assert statuses.applies_to(path) is expected
