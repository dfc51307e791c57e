"""What `/openapi/` serves: to everybody, cacheable, and to a browser under a strict policy."""

import gzip
import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support.problems import assert_problem

FOLDER = Path(__file__).parents[3] / "openapi"
PLAIN = {"Accept-Encoding": "identity"}


def test_the_index_names_every_document(anonymous: TestClient) -> None:
    index = anonymous.get("/openapi/index.json").json()

    assert {entry["name"] for entry in index["documents"]} == {file.stem for file in FOLDER.glob("*.json")}
    for entry in index["documents"]:
        response = anonymous.get(entry["url"], headers=PLAIN)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.content == (FOLDER / f"{entry['name']}.json").read_bytes()
        document = response.json()
        assert document["openapi"].startswith("3.1")
        assert entry["operations"] == sum(len(item) for item in document["paths"].values())


@pytest.mark.parametrize("path", ["/openapi", "/openapi/"])
def test_the_page(anonymous: TestClient, path: str) -> None:
    response = anonymous.get(path)

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == (FOLDER / "page.html").read_text()
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    for part, kind in (("page.js", "text/javascript"), ("page.css", "text/css")):
        assert anonymous.get(f"/openapi/{part}").headers["content-type"] == f"{kind}; charset=utf-8"


def test_a_known_document_is_not_sent_again(anonymous: TestClient) -> None:
    first = anonymous.get("/openapi/identity.json", headers=PLAIN)
    assert first.headers["cache-control"] == "public, max-age=300"
    assert first.headers["vary"] == "Accept-Encoding"
    tag = first.headers["etag"]
    for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        again = anonymous.get("/openapi/identity.json", headers={**PLAIN, "If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert anonymous.get("/openapi/identity.json", headers={**PLAIN, "If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False), ("br", False), ("identity", False)],
)
def test_compression(anonymous: TestClient, accepted: str, packed: bool) -> None:
    with anonymous.stream("GET", "/openapi/core-entities.json", headers={"Accept-Encoding": accepted}) as response:
        raw = b"".join(response.iter_raw())

    assert (response.headers.get("content-encoding") == "gzip") is packed
    assert response.headers["etag"].endswith('-gzip"') is packed
    content = gzip.decompress(raw) if packed else raw
    assert json.loads(content)["info"]["title"] == "Sluice: core-entities"


@pytest.mark.parametrize("name", ["nothing.json", "promised", "..%2fpyproject.toml", "%2e%2e", "page.html%00"])
def test_nothing_else_is_served(anonymous: TestClient, name: str) -> None:
    assert_problem(anonymous.get(f"/openapi/{name}"), 404)
    assert_problem(anonymous.post("/openapi/index.json"), 405)
