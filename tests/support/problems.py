"""What a problem document has to look like for Konnect's clients to decode it."""

import re
from typing import Any

import httpx

_TRACE = re.compile(r"konnect:trace:\d+")


def assert_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The document, after checking what every one of them must have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert _TRACE.fullmatch(body["instance"])
    assert body["title"]
    assert body["detail"]
    if status == 400:
        assert body["invalid_parameters"]
        for item in body["invalid_parameters"]:
            assert item["field"]
            assert item["reason"]
    return body


def violations(response: httpx.Response) -> set[tuple[str, str | None]]:
    """The fields of a 400 with the rules they broke."""
    return {(item["field"], item.get("rule")) for item in assert_problem(response, 400)["invalid_parameters"]}


def core_entity_details(response: Any) -> dict[str, list[str]]:
    """The messages of a refusal below `core-entities` by field; those about the whole entity under ""."""
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/json"
    return {detail.get("field", ""): detail["messages"] for detail in response.json()["details"]}
