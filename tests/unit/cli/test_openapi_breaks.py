"""What breaks clients is found, and what does not is let through."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import openapi_document
from cli.faults import Fault
from cli.openapi_breaks import breaks, without_words

Json = dict[str, Any]

THING: Json = {
    "type": "object",
    "title": "Thing",
    "required": ["id", "kind"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "size": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 9}, {"type": "null"}]},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "title": {"type": "string", "description": "A field that has a keyword's name."},
    },
}
PART: Json = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "within": {"$ref": "#/components/schemas/Part"}},
}
DOCUMENT: Json = {
    "paths": {
        "/things": {
            "post": {
                "operationId": "create-thing",
                "parameters": [{"in": "query", "name": "dry", "schema": {"type": "boolean"}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                "responses": {
                    "201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                    "400": {"description": "No."},
                },
                "security": [],
            }
        }
    },
    "components": {"schemas": {"Thing": THING, "Part": PART}},
}


def operation(document: Json) -> Json:
    return document["paths"]["/things"]["post"]


def thing(document: Json) -> Json:
    return document["components"]["schemas"]["Thing"]


def field(name: str) -> Callable[[Json], Json]:
    return lambda document: thing(document)["properties"][name]


def part(document: Json) -> Json:
    return document["components"]["schemas"]["Part"]["properties"]


def found(change: Callable[[Json], object]) -> list[str]:
    after = copy.deepcopy(DOCUMENT)
    change(after)
    return [line.removeprefix("POST /things: ") for line in breaks(DOCUMENT, after)]


BREAKS: dict[str, tuple[Callable[[Json], object], list[str]]] = {
    "operation removed": (lambda d: d["paths"].pop("/things"), ["the operation is gone"]),
    "method removed": (lambda d: d["paths"]["/things"].pop("post"), ["the operation is gone"]),
    "operation renamed": (
        lambda d: operation(d).update(operationId="make-thing"),
        ["operationId was 'create-thing' and is 'make-thing'"],
    ),
    "token needed": (lambda d: operation(d).update(security=[{"token": []}]), ["needs a token now"]),
    "parameter removed": (lambda d: operation(d)["parameters"].clear(), ["query parameter 'dry' is gone"]),
    "parameter required": (
        lambda d: operation(d)["parameters"][0].update(required=True),
        ["query parameter 'dry' is required now"],
    ),
    "required parameter added": (
        lambda d: operation(d)["parameters"].append(
            {"in": "header", "name": "x", "required": True, "schema": {"type": "string"}}
        ),
        ["header parameter 'x' is required now"],
    ),
    "parameter's type changed": (
        lambda d: operation(d)["parameters"][0].update(schema={"type": "integer"}),
        ["query parameter 'dry': takes no boolean any more"],
    ),
    "body required": (lambda d: operation(d)["requestBody"].update(required=True), ["a body is required now"]),
    "body gone": (lambda d: operation(d).pop("requestBody"), ["takes no body any more"]),
    "media type gone": (
        lambda d: operation(d)["requestBody"]["content"].pop("application/json"),
        ["body is not application/json any more"],
    ),
    "answer gone": (lambda d: operation(d)["responses"].pop("201"), ["answer 201 is gone"]),
    "field removed": (
        lambda d: thing(d)["properties"].pop("labels"),
        ["answer 201: labels: the field is gone", "body: labels: the field is gone"],
    ),
    "field of a keyword's name removed": (
        lambda d: thing(d)["properties"].pop("title"),
        ["answer 201: title: the field is gone", "body: title: the field is gone"],
    ),
    "field required": (
        lambda d: thing(d)["required"].append("size"),
        ["body: size: the field is required now"],
    ),
    "field not promised": (
        lambda d: thing(d)["required"].remove("kind"),
        ["answer 201: kind: the field may be missing now"],
    ),
    "value removed": (lambda d: field("kind")(d)["enum"].remove("a"), ["body: kind: the value 'a' is gone"]),
    "values listed": (lambda d: field("title")(d).update(enum=["x"]), ["body: title: takes only some values now"]),
    "type changed": (
        lambda d: field("title")(d).update(type="integer"),
        ["answer 201: title: may be integer now", "body: title: takes no string any more"],
    ),
    "null refused": (lambda d: field("size")(d)["anyOf"].pop(), ["body: size: takes no null any more"]),
    "null sent": (
        lambda d: field("title")(d).update(type=["string", "null"]),
        ["answer 201: title: may be null now"],
    ),
    "minimum raised": (
        lambda d: field("size")(d)["anyOf"][0].update(minimum=2),
        ["body: size: minimum is 2 and was 1"],
    ),
    "maximum lowered": (
        lambda d: field("size")(d)["anyOf"][0].update(maximum=8),
        ["body: size: maximum is 8 and was 9"],
    ),
    "pattern set": (
        lambda d: field("title")(d).update(pattern="^x"),
        ["body: title: pattern is '^x' and was 'not set'"],
    ),
    "items differ": (lambda d: field("parts")(d).update(uniqueItems=True), ["body: parts: items must differ now"]),
    "within a list, and in itself": (
        lambda d: part(d)["name"].update(maxLength=7),
        ["body: parts[].name: maxLength is 7 and was 8"],
    ),
    "values of a map": (
        lambda d: field("labels")(d).update(additionalProperties={"type": "integer"}),
        ["answer 201: labels.*: may be integer now", "body: labels.*: takes no string any more"],
    ),
    "map closed": (
        lambda d: field("labels")(d).update(additionalProperties=False),
        ["body: labels: takes no further fields any more"],
    ),
}
ADDITIONS: dict[str, Callable[[Json], object]] = {
    "nothing": lambda d: None,
    "operation": lambda d: d["paths"].update({"/others": {"get": {"responses": {}}}}),
    "optional parameter": lambda d: operation(d)["parameters"].append(
        {"in": "query", "name": "x", "schema": {"type": "string"}}
    ),
    "optional field": lambda d: thing(d)["properties"].update(more={"type": "string"}),
    "further value": lambda d: field("kind")(d)["enum"].append("c"),
    "wider bounds": lambda d: field("size")(d)["anyOf"][0].update(minimum=0, maximum=10),
    "error that was not told": lambda d: operation(d)["responses"].update({"409": {"description": "No."}}),
    "error that does not happen any more": lambda d: operation(d)["responses"].pop("400"),
    "other words": lambda d: (thing(d).update(title="Item"), field("title")(d).update(description="Else.")),
    "a schema in place of a reference": lambda d: field("parts")(d).update(items=d["components"]["schemas"]["Part"]),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_clients_is_found(name: str) -> None:
    change, said = BREAKS[name]

    assert found(change) == said


@pytest.mark.parametrize("name", ADDITIONS)
def test_additions_break_nobody(name: str) -> None:
    assert found(ADDITIONS[name]) == []


def test_integers_may_become_numbers_in_requests_only() -> None:
    before = copy.deepcopy(DOCUMENT)
    field("title")(before).update(type="integer")
    after = copy.deepcopy(DOCUMENT)
    field("title")(after).update(type="number")

    assert breaks(before, after) == ["POST /things: answer 201: title: may be number now"]


def test_words_are_left_out_and_fields_that_are_called_so_are_not() -> None:
    bare = without_words(DOCUMENT)

    assert "title" not in thing(bare)
    assert field("title")(bare) == {"type": "string"}
    assert breaks(DOCUMENT, bare) == breaks(bare, DOCUMENT) == []


class TestPromises:
    """The command that writes the documents keeps what clients were promised."""

    @pytest.fixture
    def emit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        def run(document: Json, **options: Any) -> None:
            monkeypatch.setattr(openapi_document, "_areas", lambda: {"things": document})
            openapi_document.emit(tmp_path, **{"check": False, **options})

        run(DOCUMENT)
        return run

    def test_additions_become_promises(self, emit: Callable[..., None]) -> None:
        wider = copy.deepcopy(DOCUMENT)
        thing(wider)["properties"]["more"] = {"type": "string"}
        with pytest.raises(Fault, match="not up to date"):
            emit(wider, check=True)
        emit(wider)
        emit(wider, check=True)
        with pytest.raises(Fault, match="2 changes"):
            emit(DOCUMENT)

    def test_breaks_are_refused_and_named(
        self, emit: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        poorer = copy.deepcopy(DOCUMENT)
        del thing(poorer)["properties"]["labels"]
        promised = (tmp_path / openapi_document.BASELINE).read_text()
        for check in (False, True):
            with pytest.raises(Fault, match=r'2 changes .* make gen ACCEPT="the reason"'):
                emit(poorer, check=check)
            assert "POST /things: body: labels: the field is gone" in capsys.readouterr().err
        assert (tmp_path / openapi_document.BASELINE).read_text() == promised

    def test_breaks_may_be_accepted_with_a_reason(self, emit: Callable[..., None], tmp_path: Path) -> None:
        poorer = copy.deepcopy(DOCUMENT)
        del thing(poorer)["properties"]["labels"]
        emit(poorer, accept="nobody ever used it")
        emit(poorer, check=True)
        notes = (tmp_path / openapi_document.BASELINE).parent / openapi_document.ACCEPTED
        assert notes.read_text().splitlines() == [
            "", "nobody ever used it", "",
            "- POST /things: answer 201: labels: the field is gone",
            "- POST /things: body: labels: the field is gone",
        ]  # fmt: skip

    def test_the_record_is_json_with_a_line_for_each_part(self, emit: Callable[..., None], tmp_path: Path) -> None:
        text = (tmp_path / openapi_document.BASELINE).read_text()
        assert json.loads(text) == without_words(DOCUMENT)
        assert len([line for line in text.splitlines() if line.startswith('"')]) == 3


def test_nothing_breaks_what_has_been_promised() -> None:
    documents = Path(__file__).parents[3] / "openapi"
    present: Json = {"paths": {}, "components": {"schemas": {}}}
    for file in documents.glob("*.json"):
        document = json.loads(file.read_text())
        present["components"]["schemas"] |= document["components"]["schemas"]
        for path, item in document["paths"].items():
            present["paths"][path] = {**present["paths"].get(path, {}), **item}

    assert breaks(json.loads((documents / openapi_document.BASELINE).read_text()), present) == []
