"""The API does what its documents say, whatever it is sent: no 5xx, no status and no body that is not documented.

Requests are made from the documents themselves, a few of each operation and from a fixed seed, so what fails, fails again.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from core.db.engine import Database
from tests.api.guards.test_operations import Belongings
from tests.support.generated import TEXTS, Generated
from tests.support.json_schema import faults
from tests.support.tenants import Tenant

Json = dict[str, Any]

FOLDER = Path(__file__).parents[3] / "openapi"
DOCUMENTS = {file.stem: json.loads(file.read_text()) for file in FOLDER.glob("*.json")}
METHODS = ("get", "post", "put", "patch", "delete")
EACH = {"get": 2, "post": 4, "put": 4, "patch": 4, "delete": 1}
# Takes key pairs, which nobody makes up.
UNFIT = {"serverless-cloud-gateways"}
# What would end the caller, or everything else, comes last.
_ENDS = {"delete-control-plane"}


def operations(area: str) -> Iterator[tuple[str, str, Json]]:
    """Reads first and ends last: what is asked about is there for as long as possible."""
    found = [
        (method, path, operation)
        for path, item in DOCUMENTS[area]["paths"].items()
        for method, operation in item.items()
    ]
    yield from sorted(found, key=lambda entry: (entry[2]["operationId"] in _ENDS, METHODS.index(entry[0]), entry[1]))


def fill(path: str, ids: dict[str, str], operation: Json, random: Random) -> str:
    """The path with what there is, sometimes with something else in the last place; and a query."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    for name in names:
        strange = name == names[-1] and name not in {"controlPlaneId", "user_id"} and random.random() < 0.2
        value = (
            random.choice([text for text in TEXTS if text.strip(". ") and "/" not in text]) if strange else ids[name]
        )
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    given = [
        f"{quote(item['name'], safe='[]')}={quote(random.choice(('1', '2', 'a', 'true', '', '-1', 'é', 'a/b', 'a,b/c')), safe='')}"
        for item in operation.get("parameters", ())
        if item["in"] == "query" and random.random() < 0.2
    ]
    return f"{path}?{'&'.join(given)}" if given else path


def body_of(operation: Json, generated: Generated, random: Random) -> dict[str, Any]:
    """A body as the test client takes it: JSON of the documented shape, or, rarely, no such thing."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return {}
    if random.random() < 0.05:
        raw = random.choice((b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"a": 1e999}', b"[" * 2000))
        kind = random.choice(("application/json", "text/plain", "application/x-www-form-urlencoded"))
        return {"content": raw, "headers": {"Content-Type": kind}}
    document = generated.value(content["application/json"]["schema"])
    return {"content": json.dumps(document), "headers": {"Content-Type": "application/json"}}


def judge(operation: Json, response: Any, schemas: Json) -> list[str]:
    """How an answer differs from what is documented."""
    status = str(response.status_code)
    documented = operation["responses"].get(status)
    if documented is None:
        return [f"status {status} is not documented: {response.text[:300]}"]
    if not documented.get("content"):
        return [] if not response.content else [f"status {status} has a body: {response.text[:100]}"]
    kind = response.headers.get("content-type", "").partition(";")[0]
    if kind not in documented["content"]:
        return [f"status {status} is {kind}"]
    return list(faults(response.json(), documented["content"][kind]["schema"], schemas))


@pytest.mark.parametrize("area", DOCUMENTS)
def test_answers_are_as_documented(area: str, anonymous: TestClient, database: Database, tenant: Tenant) -> None:
    belongings = Belongings(anonymous, database, tenant)
    spare = anonymous.post(
        f"/v3/users/{tenant.user_id}/access-tokens",
        json={"name": "spare", "ttl_seconds": 86400},
        headers=tenant.headers,
    ).json()["id"]
    ids = belongings.ids | {"token_id": spare}
    schemas = DOCUMENTS[area]["components"]["schemas"]
    random = Random(area)
    wrong: list[str] = []
    statuses: set[int] = set()
    for method, path, operation in operations(area):
        generated = Generated(operation["operationId"], schemas)
        for _ in range(EACH[method]):
            sent = body_of(operation, generated, random)
            headers = tenant.headers | sent.pop("headers", {})
            url = fill(path, ids, operation, random)
            response = anonymous.request(method.upper(), url, headers=headers, **sent)
            statuses.add(response.status_code)
            found = judge(operation, response, schemas)
            wrong += [f"{method.upper()} {url} {str(sent)[:300]}: {fault}" for fault in found]
    assert wrong == []
    assert statuses & {200, 201} or area in UNFIT
    assert 400 in statuses


def test_a_wrong_answer_would_be_found() -> None:
    operation = DOCUMENTS["control-planes"]["paths"]["/v2/control-planes/{control_plane_id}"]["get"]
    schemas = DOCUMENTS["control-planes"]["components"]["schemas"]

    class Answer:
        status_code, text, content = 200, "{}", b"{}"
        headers = {"content-type": "application/json"}  # noqa: RUF012

        def json(self) -> Any:
            return {"id": 1}

    answer = Answer()
    assert any("is no string" in fault for fault in judge(operation, answer, schemas))
    answer.headers = {"content-type": "text/plain"}
    assert judge(operation, answer, schemas) == ["status 200 is text/plain"]
    answer.status_code = 500
    assert judge(operation, answer, schemas) == ["status 500 is not documented: {}"]
