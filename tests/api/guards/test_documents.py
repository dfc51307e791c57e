"""Standing guards over the published documents: current, complete, and true about who may call."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from api.openapi import documents
from cli.openapi_document import render_areas
from tests.support.operations import operations

_CHECKED_IN = Path(__file__).parents[3] / "openapi"
_METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def published(app: FastAPI) -> dict[str, dict[str, Any]]:
    return documents(app)


def entries(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in _METHODS
    }


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    return set().union(*(references(item) for item in value)) if isinstance(value, list) else set()


def test_checked_in_documents_are_current() -> None:
    present = {file.name: file.read_text() for file in _CHECKED_IN.glob("*.json")}

    assert present == render_areas(), "run `make gen` and look at the difference"


def test_every_operation_with_a_token_is_in_one_document(app: FastAPI, published: dict[str, dict[str, Any]]) -> None:
    places: dict[tuple[str, str], list[str]] = {}
    for area, document in published.items():
        for key in entries(document):
            places.setdefault(key, []).append(area)
    missing = [str(o) for o in operations(app) if o.needs_token and len(places.get((o.method, o.path), [])) != 1]

    assert missing == []


def test_security_is_told_as_it_is(app: FastAPI, published: dict[str, dict[str, Any]]) -> None:
    told = {
        key: operation["security"] for document in published.values() for key, operation in entries(document).items()
    }

    for operation in operations(app):
        if (operation.method, operation.path) in told:
            assert bool(told[operation.method, operation.path]) is operation.needs_token, operation


def test_every_operation_says_how_it_fails(published: dict[str, dict[str, Any]]) -> None:
    for document in published.values():
        for key, operation in entries(document).items():
            assert operation["description"], key
            assert "422" not in operation["responses"], key
            assert not operation["security"] or {"400", "401"} <= operation["responses"].keys(), key


def test_documents_stand_alone(published: dict[str, dict[str, Any]]) -> None:
    for document in published.values():
        known = {
            f"#/components/{kind}/{name}" for kind in ("schemas", "examples") for name in document["components"][kind]
        }
        assert references(document) == known


def test_documents_are_json(published: dict[str, dict[str, Any]]) -> None:
    assert json.loads(json.dumps(published)) == published
