"""Creating control planes."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from core.db.engine import Database
from core.settings import Settings
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant

_PATH = "/v2/control-planes"
_URL = {"host": "example.com", "port": 443, "protocol": "https"}


def test_smallest(client: TestClient) -> None:
    response = client.post(_PATH, json={"name": "cp"})

    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert str(UUID(body["id"])) == body["id"]
    assert body["name"] == "cp"
    assert body["description"] == ""
    assert body["labels"] == {}
    assert body["created_at"] == body["updated_at"]
    config = body["config"]
    prefix = re.fullmatch(r"https://([0-9a-f]{10})\.us\.cp\.localhost", config.pop("control_plane_endpoint"))
    assert prefix
    assert config.pop("telemetry_endpoint") == f"https://{prefix[1]}.us.tp0.localhost"
    assert config == {
        "cluster_type": "CLUSTER_TYPE_CONTROL_PLANE",
        "auth_type": "pinned_client_certs",
        "cloud_gateway": False,
        "proxy_urls": [],
    }
    assert client.get(f"{_PATH}/{body['id']}").json() == response.json()


def test_everything(client: TestClient) -> None:
    wish = {
        "name": "Everything 孔",
        "description": "All fields",
        "cluster_type": "CLUSTER_TYPE_K8S_INGRESS_CONTROLLER",
        "auth_type": "pki_client_certs",
        "cloud_gateway": True,
        "proxy_urls": [_URL],
        "labels": {"env": "test", "team": "a.b-c_d"},
    }

    body = client.post(_PATH, json=wish).json()

    assert body["name"] == wish["name"]
    assert body["description"] == wish["description"]
    assert body["labels"] == wish["labels"]
    assert body["config"]["proxy_urls"] == [_URL]
    assert {name: body["config"][name] for name in ("cluster_type", "auth_type", "cloud_gateway")} == {
        name: wish[name] for name in ("cluster_type", "auth_type", "cloud_gateway")
    }


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("CLUSTER_TYPE_CONTROL_PLANE", "CLUSTER_TYPE_CONTROL_PLANE"),
        ("CLUSTER_TYPE_HYBRID", "CLUSTER_TYPE_CONTROL_PLANE"),
        ("CLUSTER_TYPE_K8S_INGRESS_CONTROLLER", "CLUSTER_TYPE_K8S_INGRESS_CONTROLLER"),
        ("CLUSTER_TYPE_CONTROL_PLANE_GROUP", "CLUSTER_TYPE_CONTROL_PLANE_GROUP"),
        ("CLUSTER_TYPE_SERVERLESS", "CLUSTER_TYPE_SERVERLESS"),
        ("CLUSTER_TYPE_SERVERLESS_V1", "CLUSTER_TYPE_SERVERLESS_V1"),
        ("CLUSTER_TYPE_KAFKA_NATIVE_EVENT_PROXY", "CLUSTER_TYPE_KAFKA_NATIVE_EVENT_PROXY"),
    ],
)
def test_cluster_types(client: TestClient, given: str, shown: str) -> None:
    response = client.post(_PATH, json={"name": "cp", "cluster_type": given})

    assert response.status_code == 201
    assert response.json()["config"]["cluster_type"] == shown


def test_nulls_mean_unset(client: TestClient) -> None:
    optional = ("description", "cluster_type", "auth_type", "cloud_gateway", "proxy_urls", "labels")

    response = client.post(_PATH, json={"name": "cp"} | dict.fromkeys(optional))

    assert response.status_code == 201
    assert response.json()["config"]["auth_type"] == "pinned_client_certs"


def test_name_is_taken(client: TestClient, tenant: Tenant, other_tenant: Tenant) -> None:
    client.post(_PATH, json={"name": "cp"})

    body = assert_problem(client.post(_PATH, json={"name": "cp"}), 409)

    assert body["detail"] == f"Key (org_id, name)=({tenant.organization_id}, cp) already exists."
    assert client.get(_PATH).json()["meta"]["page"]["total"] == 1
    assert client.post(_PATH, json={"name": "CP"}).status_code == 201
    assert client.post(_PATH, json={"name": "cp"}, headers=other_tenant.headers).status_code == 201


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {("name", "required")}),
        ({"name": "x"}, {("name", "min_length")}),
        ({"name": "x" * 257}, {("name", "max_length")}),
        ({"name": None}, {("name", "is_string")}),
        ({"name": "cp", "description": "x" * 2049}, {("description", "max_length")}),
        ({"name": "cp", "description": 1}, {("description", "is_string")}),
        ({"name": "cp", "cluster_type": "CLUSTER_TYPE_NEW"}, {("cluster_type", "enum")}),
        ({"name": "cp", "auth_type": "none"}, {("auth_type", "enum")}),
        ({"name": "cp", "cloud_gateway": "true"}, {("cloud_gateway", "is_boolean")}),
        ({"name": "cp", "proxy_urls": {}}, {("proxy_urls", "is_array")}),
        ({"name": "cp", "proxy_urls": [_URL] * 6}, {("proxy_urls", "max_items")}),
        ({"name": "cp", "proxy_urls": [_URL | {"port": "443"}]}, {("proxy_urls[0].port", "is_integer")}),
        ({"name": "cp", "proxy_urls": [_URL | {"port": 0}]}, {("proxy_urls[0].port", "min")}),
        ({"name": "cp", "proxy_urls": [{"host": "x"}]}, {("proxy_urls[0].port", "required"), ("proxy_urls[0].protocol", "required")}),
        ({"name": "cp", "proxy_urls": [_URL | {"x": 1}]}, {("proxy_urls[0].x", "unknown_property")}),
        ({"name": "cp", "labels": []}, {("labels", "is_object")}),
        ({"name": "cp", "labels": {"a": 1}}, {("labels.a", "is_string")}),
        ({"name": "cp", "labels": {"kong-x": "a"}}, {("labels", "is_label")}),
        ({"name": "cp", "labels": {"_x": "a"}}, {("labels", "is_label")}),
        ({"name": "cp", "labels": {"": "a"}}, {("labels", "is_label")}),
        ({"name": "cp", "labels": {"a": "-"}}, {("labels", "is_label")}),
        ({"name": "cp", "labels": {"a": "x" * 64}}, {("labels", "is_label")}),
        ({"name": "cp", "labels": {f"k{i}": "a" for i in range(51)}}, {("labels", "is_label")}),
        ({"name": "cp", "id": "3f51fa25-310a-421d-bd1a-007f859021a3"}, {("id", "unknown_property")}),
        ([], {("body", "is_object")}),
        ("cp", {("body", "is_object")}),
    ],
)  # fmt: skip
def test_refuses(client: TestClient, body: Any, expected: set[tuple[str, str]]) -> None:
    assert violations(client.post(_PATH, json=body)) == expected
    assert client.get(_PATH).json()["meta"]["page"]["total"] == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"name": "cp"} x', b"null"])
def test_bad_json(client: TestClient, content: bytes) -> None:
    response = client.post(_PATH, content=content, headers={"Content-Type": "application/json"})

    assert {field for field, _ in violations(response)} == {"body"}


def test_choices_are_named(client: TestClient) -> None:
    body = client.post(_PATH, json={"name": "cp", "auth_type": "none"}).json()

    assert body["invalid_parameters"][0]["choices"] == ["pinned_client_certs", "pki_client_certs"]


@pytest.mark.parametrize("name", [rb"c\u0000p", rb"c\ud800p"])
def test_text_that_postgresql_cannot_hold(client: TestClient, name: bytes) -> None:
    content = b'{"name": "' + name + b'"}'

    response = client.post(_PATH, content=content, headers={"Content-Type": "application/json"})

    assert violations(response) == {("name", "matches_regex")}


def test_so_many_and_no_more(
    client: TestClient, database: Database, tenant: Tenant, settings: Settings, other_tenant: Tenant
) -> None:
    limited = settings.with_changes(max_control_planes=3)
    with TestClient(create_app(limited, database)) as narrow:

        def create(number: int) -> int:
            answer = narrow.post(_PATH, json={"name": f"cp-{number}"}, headers=tenant.headers)
            return answer.status_code

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(create, range(6))) == [201, 201, 201, 400, 400, 400]
        response = narrow.post(_PATH, json={"name": "more"}, headers=tenant.headers)
        body = assert_problem(response, 400)
        assert body["detail"] == "No more than 3 control planes are allowed"
        assert [(item["field"], item["reason"]) for item in body["invalid_parameters"]] == [
            ("object", "usage limits reached")
        ]
        assert narrow.post(_PATH, json={"name": "cp"}, headers=other_tenant.headers).status_code == 201
        oldest = client.get(_PATH).json()["data"][0]["id"]
        assert client.delete(f"{_PATH}/{oldest}").status_code == 204
        assert create(7) == 201
