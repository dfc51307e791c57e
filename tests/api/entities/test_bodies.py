"""Bodies other than JSON, on all operations that take one; and bodies that are none."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from api.bodies import FORM, MULTIPART
from schema.forms import MOST_ARGUMENTS
from tests.support.entities import CHANGES, SAMPLES, Entities

BOUNDARY = "xYz"


def arguments(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A document as a form; lists are named in turns as `a[]` and `a[1]`."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from arguments(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            numbered = len(name) % 2
            yield from (
                (f"{prefix}{name}[{index if numbered else ''}]", str(item)) for index, item in enumerate(value, 1)
            )
        else:
            yield prefix + name, json.dumps(value) if isinstance(value, bool) else str(value)


def urlencoded(document: dict[str, Any]) -> dict[str, Any]:
    return {"content": urlencode(list(arguments(document))), "headers": {"Content-Type": FORM}}


def multipart(*parts: tuple[str, str] | tuple[str, str, str]) -> dict[str, Any]:
    """Parts of name, content and, where given, more header lines."""
    content = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part[0]}"{"".join(part[2:])}\r\n\r\n{part[1]}\r\n'
        for part in parts
    )
    return raw(f"{content}--{BOUNDARY}--\r\n", f"{MULTIPART}; boundary={BOUNDARY}")


def raw(content: str | bytes, media_type: str | None) -> dict[str, Any]:
    return {"content": content, "headers": {} if media_type is None else {"Content-Type": media_type}}


@pytest.fixture
def send(entities: Entities):
    def request(method: str, path: str, body: dict[str, Any]) -> Any:
        headers = entities.headers | body.get("headers", {})
        return entities.client.request(method, f"{entities.base}/{path}", **(body | {"headers": headers}))

    return request


def lasting(answer: httpx.Response) -> dict[str, Any]:
    """An entity without the time of its last change."""
    return {name: value for name, value in answer.json().items() if name != "updated_at"}


@pytest.mark.parametrize("plural", SAMPLES)
@pytest.mark.parametrize("encode", [urlencoded, lambda document: multipart(*arguments(document))])
def test_every_kind_is_written_by_forms(entities: Entities, send, plural: str, encode) -> None:
    path = entities.path(plural)
    made = send("POST", path, encode(SAMPLES[plural](1)))
    assert made.status_code == 201, made.text
    identifier = made.json()["id"]
    field, value = CHANGES[plural]
    changed = send("PATCH", f"{path}/{identifier}", encode({field: value}))
    assert changed.status_code == 200, changed.text
    assert lasting(changed) == lasting(made) | {field: value}
    replaced = send("PUT", f"{path}/{identifier}", encode(SAMPLES[plural](1)))
    assert replaced.status_code == 200, replaced.text
    assert lasting(replaced) == lasting(made)


def test_a_form_is_the_same_as_its_document(entities: Entities, send) -> None:
    form = send("POST", "routes", raw("name=a&paths[]=/a&paths%5B%5D=/b&methods=GET&strip_path=false", FORM)).json()
    document = entities.create("routes", {"paths": ["/a", "/b"], "methods": ["GET"], "strip_path": False, "name": "b"})
    own = ("id", "name", "created_at", "updated_at")
    assert {name: form[name] for name in form if name not in own} == {
        name: document[name] for name in document if name not in own
    }


def test_a_plugin_and_its_change(entities: Entities, send) -> None:
    service = entities.create("services", {"name": "s", "host": "h"})
    body = raw("name=rate-limiting&config.minute=5&config.policy=local", FORM)
    plugin = send("POST", "services/s/plugins", body).json()
    assert (plugin["config"]["minute"], plugin["service"]) == (5, {"id": service["id"]})
    changed = send("PATCH", f"services/s/plugins/{plugin['id']}", raw("config.minute=30&config.hour=", FORM))
    assert (changed.json()["config"]["minute"], changed.json()["config"]["hour"]) == (30, None)
    assert changed.json()["config"]["policy"] == "local"


def test_references_by_id_and_by_name(entities: Entities, send) -> None:
    service = entities.create("services", {"name": "s", "host": "h"})
    for number, argument in enumerate((f"service.id={service['id']}", "service.name=s")):
        made = send("POST", "routes", raw(f"name=r-{number}&paths=/&{argument}", FORM))
        assert made.json()["service"] == {"id": service["id"]}, made.text


def test_asking_whether_a_form_would_be_taken(send) -> None:
    path = "schemas/plugins/validate"
    good = send("POST", path, urlencoded({"name": "rate-limiting", "config": {"minute": 5, "policy": "local"}}))
    assert good.status_code == 200, good.text
    bad = send("POST", path, urlencoded({"name": "rate-limiting", "config": {"minute": "five"}}))
    assert bad.status_code == 400
    assert "config.minute" in bad.text


def test_members_of_groups(entities: Entities, send) -> None:
    entities.create("consumers", {"username": "bob"})
    entities.create("consumer_groups", {"name": "gold"})
    assert send("POST", "consumer_groups/gold/consumers", raw("consumer=bob", FORM)).status_code == 201
    assert entities.get("consumers/bob/consumer_groups")["data"][0]["name"] == "gold"


def test_parts_are_text_files_or_json(send) -> None:
    made = send(
        "POST",
        "plugins",
        multipart(
            ("name", "request-transformer"),
            ("config.add.headers[1]", "x:1", '; filename="x"\r\nContent-Type: text/plain'),
            ("config.remove", '{"headers": ["y"]}', "\r\nContent-Type: application/json"),
        ),
    )
    assert made.status_code == 201, made.text
    assert made.json()["config"]["add"]["headers"] == ["x:1"]
    assert made.json()["config"]["remove"]["headers"] == ["y"]


def test_what_the_declaration_refuses_is_told_by_its_field(send) -> None:
    refused = send("POST", "services", raw("host=h&port=many&colour=red&__proto__.x=1&retries=-1", FORM))
    assert refused.status_code == 400
    fields = {detail["field"]: detail["messages"] for detail in refused.json()["details"]}
    assert fields == {
        "port": ["expected an integer"],
        "colour": ["unknown field"],
        "__proto__": ["unknown field"],
        "retries": ["value should be between 0 and 32767"],
    }


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/x+json", None],
)
def test_json(send, media_type: str | None) -> None:
    assert send("POST", "services", raw('{"host": "h"}', media_type)).status_code == 201


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/yaml", "json", "multipart/mixed"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_other_media_types(entities: Entities, send, media_type: str, method: str) -> None:
    entities.create("services", {"name": "s", "host": "h"})
    path = "services" if method == "POST" else "services/s"
    refused = send(method, path, raw('{"host": "h"}', media_type))
    assert refused.status_code == 415
    assert refused.json()["code"] == 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (raw("{", "application/json"), "not valid JSON"),
        (raw("", "application/json"), "empty"),
        (raw("&".join(["a=1"] * (MOST_ARGUMENTS + 1)), FORM), "Too many arguments"),
        (raw("&" * 1_000_000, FORM), "Too many arguments"),
        (raw(b"host=\xff", FORM), "not valid UTF-8"),
        (raw("host=%ff", FORM), "not valid UTF-8"),
        (raw("a." * 40 + "a=1", FORM), "nested"),
        (raw("a" + "[" * 100_000 + "=1", FORM), "more than 1024 characters"),
        (raw("host=h&host.x=y", FORM), "another one"),
        (raw("x", f"{MULTIPART}; boundary={BOUNDARY}"), "cut off"),
        (raw(f"--{BOUNDARY}\r\n\r\nx\r\n", f"{MULTIPART}; boundary={BOUNDARY}"), "cut off"),
        (multipart(("", "x")), "no name"),
        (raw(f"--{BOUNDARY}\r\nx\r\n--{BOUNDARY}--", f"{MULTIPART}; boundary={BOUNDARY}"), "no valid head"),
        (raw("x", MULTIPART), "boundary"),
        (raw("x", f"{MULTIPART}; boundary={'b' * 71}"), "boundary"),
        (raw("x", f"{MULTIPART}; boundary="), "boundary"),
        (multipart(*[("a", "1")] * (MOST_ARGUMENTS + 1)), "Too many arguments"),
        (multipart(("host", "{", "\r\nContent-Type: application/json")), "not valid JSON"),
        (multipart(("host", "h", "\r\nX-Filler: " + "x" * 9000)), "no valid head"),
    ],
)
def test_bodies_that_cannot_be_read(send, body: dict[str, Any], message: str) -> None:
    refused = send("POST", "services", body)
    assert refused.status_code == 400, refused.text
    assert message in refused.json()["message"]


def test_null_characters_and_halves_of_characters_are_refused(send) -> None:
    for body in (raw("host=a%00b", FORM), raw("ho%00st=a", FORM), multipart(("host", "a\x00b"))):
        refused = send("POST", "services", body)
        assert refused.status_code == 400
        assert refused.json()["details"]
