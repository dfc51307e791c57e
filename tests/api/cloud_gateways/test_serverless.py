"""Serverless gateways in one call."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from tests.support.node_authority import make_authority
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant

_PATH = "/v0/serverless-cloud-gateways"


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    certificate, key = make_authority(Path(tmp_path_factory.mktemp("pem")), datetime.now(UTC))
    return certificate.read_text(), key.read_text()


@pytest.fixture
def wish(control_plane: dict[str, Any], pems: tuple[str, str]) -> dict[str, Any]:
    return {
        "control_plane": {"id": control_plane["id"], "prefix": control_plane["prefix"], "region": "eu"},
        "cluster_cert": pems[0],
        "cluster_cert_key": pems[1],
        "labels": {"env": "test"},
    }


@pytest.mark.parametrize("path", [_PATH, "/v1/serverless-cloud-gateways"])
def test_life(client: TestClient, wish: dict[str, Any], path: str) -> None:
    created = client.post(path, json=wish)

    assert created.status_code == 201, created.text
    body = created.json()
    host = f"{wish['control_plane']['prefix']}.eu.gateways.localhost"
    assert body["control_plane"] == wish["control_plane"]
    assert body["gateway_endpoint"] == host
    assert body["labels"] == {"env": "test"}
    assert "PRIVATE KEY" not in created.text
    one = f"{path}/{wish['control_plane']['id']}"
    assert client.get(one).json() == body
    (configuration,) = client.get("/v2/cloud-gateways/configurations").json()["data"]
    assert configuration["kind"] == "serverless.v1"
    assert configuration["dataplane_groups"][0]["hostnames"] == [host]

    assert_problem(client.post(path, json=wish), 409)
    assert client.delete(one).status_code == 204
    assert_problem(client.get(one), 404)
    assert_problem(client.delete(one), 404)
    # Ending is not over yet; wanting it back needs no waiting.
    assert client.post(path, json=wish).status_code == 201
    assert client.get(one).json()["gateway_endpoint"] == host


def test_certificate_on_one_line_is_understood(client: TestClient, wish: dict[str, Any]) -> None:
    wish["cluster_cert"] = wish["cluster_cert"].replace("\n", " ")

    assert client.post(_PATH, json=wish).status_code == 201


@pytest.mark.parametrize(
    ("path", "value", "broken"),
    [
        (("control_plane", "region"), "mars", ("control_plane.region", "is_supported_provider_region")),
        (("control_plane", "prefix"), "0123456789", ("control_plane.prefix", "invalid")),
        (("control_plane", "id"), "x", ("control_plane.id", "is_uuid")),
        (("cluster_cert",), "no", ("cluster_cert", "invalid")),
        (("cluster_cert_key",), "no", ("cluster_cert_key", "invalid")),
        (("labels",), {"kong": "x"}, ("labels", "is_label")),
        (("colour",), "red", ("colour", "unknown_property")),
    ],
)
def test_bad_wishes(
    client: TestClient, wish: dict[str, Any], path: tuple[str, ...], value: Any, broken: tuple[str, str]
) -> None:
    target = wish
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value

    response = client.post(_PATH, json=wish)

    assert violations(response) == {broken}
    assert "PRIVATE KEY-----" not in response.text


def test_control_plane_must_exist_and_be_ones_own(
    client: TestClient, wish: dict[str, Any], other_tenant: Tenant
) -> None:
    assert_problem(client.post(_PATH, json=wish, headers=other_tenant.headers), 404)
    wish["control_plane"]["id"] = str(uuid4())
    assert_problem(client.post(_PATH, json=wish), 404)


def test_control_plane_without_gateway(
    client: TestClient, control_plane: dict[str, Any], new_control_plane: Callable[..., Any]
) -> None:
    del new_control_plane
    assert_problem(client.get(f"{_PATH}/{control_plane['id']}"), 404)
