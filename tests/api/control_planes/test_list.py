"""Listing control planes: pages, filters, labels, order."""

from typing import Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from core.db.engine import Database
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant

_PATH = "/v2/control-planes"


@pytest.fixture
def rows(client: TestClient) -> list[dict[str, Any]]:
    wishes: list[dict[str, Any]] = [
        {"name": "alpha", "labels": {"env": "prod", "tier": "one"}},
        {"name": "beta", "labels": {"env": "test"}, "cloud_gateway": True},
        {"name": "Gamma 100%", "cluster_type": "CLUSTER_TYPE_SERVERLESS_V1", "cloud_gateway": True},
        {"name": "delta", "cluster_type": "CLUSTER_TYPE_CONTROL_PLANE_GROUP"},
    ]
    return [client.post(_PATH, json=wish).json() for wish in wishes]


def names(client: TestClient, query: str) -> list[str]:
    response = client.get(f"{_PATH}?{query}")
    assert response.status_code == 200, response.text
    return [item["name"] for item in response.json()["data"]]


def test_empty(client: TestClient) -> None:
    assert client.get(_PATH).json() == {"meta": {"page": {"number": 1, "size": 10, "total": 0}}, "data": []}


def test_pages(client: TestClient, rows: list[dict[str, Any]]) -> None:
    first = client.get(f"{_PATH}?page[size]=3").json()
    second = client.get(f"{_PATH}?page%5Bsize%5D=3&page%5Bnumber%5D=2").json()
    beyond = client.get(f"{_PATH}?page[size]=3&page[number]=9").json()

    assert first["data"] + second["data"] == rows
    assert first["meta"] == {"page": {"number": 1, "size": 3, "total": 4}}
    assert second["meta"] == {"page": {"number": 2, "size": 3, "total": 4}}
    assert beyond == {"meta": {"page": {"number": 9, "size": 3, "total": 4}}, "data": []}
    assert names(client, "page[size]=&page[number]=") == [row["name"] for row in rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filter[name][eq]=alpha", ["alpha"]),
        ("filter[name]=alpha", ["alpha"]),
        ("filter%5Bname%5D%5Beq%5D=Gamma%20100%25", ["Gamma 100%"]),
        ("filter[name][eq]=Alpha", []),
        ("filter[name][eq]=alph", []),
        ("filter[name][neq]=alpha", ["beta", "Gamma 100%", "delta"]),
        ("filter[name][contains]=A", ["alpha", "beta", "Gamma 100%", "delta"]),
        ("filter[name][contains]=0%25", ["Gamma 100%"]),
        ("filter[name][contains]=_", []),
        ("filter[name][contains]=ta&filter[name][neq]=beta", ["delta"]),
        ("filter[cluster_type][eq]=CLUSTER_TYPE_CONTROL_PLANE", ["alpha", "beta"]),
        ("filter[cluster_type][neq]=CLUSTER_TYPE_CONTROL_PLANE", ["Gamma 100%", "delta"]),
        ("filter[cluster_type][oeq]=CLUSTER_TYPE_SERVERLESS_V1,CLUSTER_TYPE_CONTROL_PLANE_GROUP", ["Gamma 100%", "delta"]),
        ("filter[cluster_type][eq]=CLUSTER_TYPE_HYBRID", ["alpha", "beta"]),
        ("filter[cloud_gateway]=true", ["beta", "Gamma 100%"]),
        ("filter[cloud_gateway]=false", ["alpha", "delta"]),
        ("labels=env:prod", ["alpha"]),
        ("labels=env", ["alpha", "beta"]),
        ("labels=env,tier:one", ["alpha"]),
        ("labels=env:prod,tier:two", []),
        ("sort=created_at%20desc", ["delta", "Gamma 100%", "beta", "alpha"]),
        ("sort=created_at", ["alpha", "beta", "Gamma 100%", "delta"]),
        ("sort=created_at+asc", ["alpha", "beta", "Gamma 100%", "delta"]),
    ],
)  # fmt: skip
def test_selects(client: TestClient, rows: list[dict[str, Any]], query: str, expected: list[str]) -> None:
    assert names(client, query) == expected


def test_ids(client: TestClient, rows: list[dict[str, Any]]) -> None:
    assert names(client, f"filter[id][eq]={rows[1]['id']}") == ["beta"]
    assert names(client, f"filter[id][oeq]={rows[3]['id']},{rows[0]['id']}") == ["alpha", "delta"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filter[nope][eq]=x", ("filter[nope][eq]", "unknown_property")),
        ("filter[name][eq]=a%00b", ("filter[name][eq]", "matches_regex")),
        ("filter=x", ("filter", "unknown_property")),
        ("filter[name][like]=x", ("filter[name][like]", "unknown_property")),
        ("filter[id][neq]=x", ("filter[id][neq]", "unknown_property")),
        ("filter[id][eq]=x", ("filter[id][eq]", "is_uuid")),
        ("filter[cloud_gateway]=maybe", ("filter[cloud_gateway]", "is_boolean")),
        ("page[size]=0", ("page[size]", "min")),
        ("page[size]=1001", ("page[size]", "max")),
        ("page[size]=-1", ("page[size]", "is_integer")),
        ("page[size]=ten", ("page[size]", "is_integer")),
        ("page[number]=0", ("page[number]", "min")),
        ("sort=labels", ("sort", "invalid")),
        ("sort=created_at sideways", ("sort", "invalid")),
    ],
)
def test_refuses(client: TestClient, query: str, expected: tuple[str, str]) -> None:
    response = client.get(f"{_PATH}?{query}")

    assert violations(response) == {expected}
    assert response.json()["invalid_parameters"][0]["source"] == "query"


def test_shows_one_organization_only(client: TestClient, rows: list[dict[str, Any]], other_tenant: Tenant) -> None:
    assert client.get(_PATH, headers=other_tenant.headers).json()["data"] == []


def test_number_of_queries_does_not_grow(client: TestClient, rows: list[dict[str, Any]], database: Database) -> None:
    def statements(size: int) -> int:
        count = 0

        def on_execute(*_: object) -> None:
            nonlocal count
            count += 1

        event.listen(database.app_engine, "before_cursor_execute", on_execute)
        try:
            assert len(names(client, f"page[size]={size}")) == size
        finally:
            event.remove(database.app_engine, "before_cursor_execute", on_execute)
        return count

    assert statements(1) == statements(4)


def test_page_size_is_refused_without_a_query(client: TestClient) -> None:
    assert_problem(client.get(f"{_PATH}?page[size]=99999999999999999999"), 400)
