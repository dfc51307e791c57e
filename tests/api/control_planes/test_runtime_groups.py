"""The list that decK looks control planes up in."""

import pytest
from starlette.testclient import TestClient

from tests.support.tenants import Tenant

_PATH = "/konnect-api/api/runtime_groups"


@pytest.fixture
def names(client: TestClient) -> list[str]:
    made = [f"cp-{number}" for number in range(5)]
    for name in made:
        client.post("/v2/control-planes", json={"name": name})
    return made


def test_none(client: TestClient) -> None:
    assert client.get(_PATH).json() == {"data": [], "page": 1, "pageCount": 1}


def test_all_on_one_page(client: TestClient, names: list[str]) -> None:
    response = client.get(_PATH)
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert (body["page"], body["pageCount"]) == (1, 1)
    assert [item["name"] for item in body["data"]] == names
    assert body["data"][0] == client.get(f"/v2/control-planes/{body['data'][0]['id']}").json()


def test_pages_end_where_decks_loop_ends(client: TestClient, names: list[str]) -> None:
    found: list[str] = []
    number = 1
    while True:
        body = client.get(f"{_PATH}?page={number}&size=2").json()
        found += [item["name"] for item in body["data"]]
        assert body["page"] == number
        if not body["data"] or body["page"] == body["pageCount"]:
            break
        number += 1
    assert (found, number) == (names, 3)
    assert client.get(f"{_PATH}?page=9&size=2").json() == {"data": [], "page": 9, "pageCount": 3}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("page=0", "page: must be at least 1"),
        ("page=x", "page: must be an integer"),
        ("size=1001", "size: must be at most 1000"),
    ],
)
def test_errors_are_messages(client: TestClient, query: str, message: str) -> None:
    response = client.get(f"{_PATH}?{query}")
    assert (response.status_code, response.json()) == (400, {"message": message})


def test_paths_and_methods_that_are_not_there(client: TestClient) -> None:
    assert client.get(f"{_PATH}/x").json() == {"message": "Not found"}
    response = client.post(_PATH, json={})
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    assert list(response.json()) == ["message"]


def test_own_control_planes_only(client: TestClient, names: list[str], other_tenant: Tenant) -> None:
    assert client.get(_PATH, headers=other_tenant.headers).json()["data"] == []
