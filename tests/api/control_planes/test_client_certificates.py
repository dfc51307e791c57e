"""Client certificates pinned to a control plane."""

from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from core.control_planes import certificates
from tests.support import pem
from tests.support.tenants import Tenant

CERT = pem.pair(0)[0]
OTHER = pem.pair(1)[0]


@pytest.fixture
def path(client: TestClient) -> str:
    control_plane = client.post("/v2/control-planes", json={"name": "cp"}).json()
    return f"/v2/control-planes/{control_plane['id']}/dp-client-certificates"


@pytest.fixture
def item(client: TestClient, path: str) -> dict[str, Any]:
    response = client.post(path, json={"cert": CERT, "title": "edge"})
    assert response.status_code == 201
    return response.json()["item"]


def test_create_read_list(client: TestClient, path: str, item: dict[str, Any]) -> None:
    assert item == {
        "id": item["id"],
        "cert": CERT,
        "title": "edge",
        "created_at": item["created_at"],
        "updated_at": item["created_at"],
    }
    assert isinstance(item["created_at"], int)
    assert client.get(f"{path}/{item['id']}").json() == {"item": item}
    second = client.post(path, json={"cert": OTHER, "title": None}).json()["item"]
    assert second["title"] is None
    assert client.get(path).json() == {"items": [item, second], "page": {"total_count": 2}}


def test_text_stays_as_it_was_written(client: TestClient, path: str) -> None:
    written = CERT.strip().replace("\n", "\r\n") + "\r\n\r\n"
    assert client.post(path, json={"cert": written}).json()["item"]["cert"] == written


def test_replace(client: TestClient, path: str, item: dict[str, Any]) -> None:
    response = client.put(f"{path}/{item['id']}", json={"cert": OTHER})
    assert response.status_code == 200
    changed = response.json()["item"]
    assert (changed["id"], changed["cert"], changed["title"]) == (item["id"], OTHER, None)
    assert client.get(f"{path}/{item['id']}").json()["item"] == changed
    assert client.post(path, json={"cert": CERT}).status_code == 201


def test_delete(client: TestClient, path: str, item: dict[str, Any]) -> None:
    response = client.delete(f"{path}/{item['id']}")
    assert (response.status_code, response.content) == (204, b"")
    for gone in (client.get(f"{path}/{item['id']}"), client.delete(f"{path}/{item['id']}")):
        assert gone.status_code == 404
        assert gone.headers["content-type"] == "application/json"
        assert list(gone.json()) == ["message"]
    assert client.put(f"{path}/{item['id']}", json={"cert": CERT}).status_code == 404


@pytest.mark.parametrize("respelled", [CERT, CERT.replace("\n", "\r\n")])
def test_the_same_certificate_twice(client: TestClient, path: str, item: dict[str, Any], respelled: str) -> None:
    response = client.post(path, json={"cert": respelled})
    assert response.status_code == 409
    assert response.json() == {"message": "This certificate is pinned to the control plane already"}
    second = client.post(path, json={"cert": OTHER}).json()["item"]["id"]
    assert client.put(f"{path}/{second}", json={"cert": respelled}).status_code == 409
    assert client.put(f"{path}/{item['id']}", json={"cert": respelled, "title": "new"}).status_code == 200
    elsewhere = client.post("/v2/control-planes", json={"name": "other"}).json()["id"]
    response = client.post(f"/v2/control-planes/{elsewhere}/dp-client-certificates", json={"cert": respelled})
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "cert: is a required field"),
        ({"cert": None}, "cert: must be a string"),
        ({"cert": "x"}, "cert: invalid certificate"),
        ({"cert": pem.pair(0)[1]}, "cert: invalid certificate"),
        ({"cert": "x" * 65_537}, "cert: must not have more than 65536 characters"),
        ({"cert": CERT, "titel": "x"}, "titel: is not a known property"),
        ([], "body: must be an object"),
    ],
)
def test_refuses(client: TestClient, path: str, item: dict[str, Any], body: Any, message: str) -> None:
    for response in (client.post(path, json=body), client.put(f"{path}/{item['id']}", json=body)):
        assert (response.status_code, response.json()) == (400, {"message": message})
    assert client.get(path).json()["items"] == [item]


def test_other_media_types(client: TestClient, path: str) -> None:
    response = client.post(path, content=b"cert=x", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert response.status_code == 415
    assert list(response.json()) == ["message"]


def test_so_many_and_no_more(client: TestClient, path: str, item: dict[str, Any], monkeypatch) -> None:
    monkeypatch.setattr(certificates, "MOST_CERTIFICATES", 1)
    response = client.post(path, json={"cert": OTHER})
    assert response.status_code == 400
    assert response.json()["message"] == "No more than 1 data plane client certificates per control plane are allowed"


def test_others_and_nobodys_are_not_found(
    client: TestClient, path: str, item: dict[str, Any], other_tenant: Tenant
) -> None:
    for headers, where in (
        (other_tenant.headers, path),
        ({}, f"/v2/control-planes/{uuid4()}/dp-client-certificates"),
    ):
        assert client.get(where, headers=headers).status_code == 404
        assert client.post(where, json={"cert": OTHER}, headers=headers).status_code == 404
        assert client.get(f"{where}/{item['id']}", headers=headers).status_code == 404


def test_goes_with_its_control_plane(client: TestClient, path: str, item: dict[str, Any]) -> None:
    assert client.delete(path.removesuffix("/dp-client-certificates")).status_code == 204
    assert client.get(path).status_code == 404
