"""Our declarations against what is published about the same plugins: names, types, defaults, choices, bounds, marks.

The published data is not part of the repository; without it these tests are skipped. Differences on purpose are listed in
`tests/corpus/plugin_deviations.json`, each with its reason; an entry that no longer differs fails, too.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schema.json_documents import record_document
from schema.registry import registry

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT.parent / "shared" / "reference" / "plugin-schemas"
DEVIATIONS = json.loads((ROOT / "tests" / "corpus" / "plugin_deviations.json").read_text())["deviations"]
SCOPES = ("service", "route", "consumer", "consumer_group")

pytestmark = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published schemas are not here")


def index() -> dict[str, dict[str, str]]:
    if not PUBLISHED.is_dir():
        return {}
    with (PUBLISHED / "plugin-index.tsv").open() as file:
        return {row["name"]: row for row in csv.DictReader(file, delimiter="\t") if row["schema_file"] != "-"}


INDEX = index()


def facts(document: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """(field, what, value) for everything that a schema says of the fields below `path`."""
    record_default: dict[str, Any] = document.get("default") or {}
    for name in document.get("required", ()):
        yield f"{path}{name}", "required", True
    for name, part in document.get("properties", {}).items():
        folded = {**part, "default": record_default[name]} if name in record_default else part
        yield from facts_of_value(folded, f"{path}{name}")


def facts_of_value(part: dict[str, Any], path: str) -> Iterator[tuple[str, str, Any]]:
    kind = part["type"] if "type" in part else "integer" if isinstance(part["enum"][0], int) else "string"
    if kind == "object" and "additionalProperties" in part and "x-foreign" not in part:
        kind = "map"
        values = part["additionalProperties"]
        if isinstance(values, dict):
            yield from facts_of_value(values, f"{path}.*")
    yield path, "type", kind
    if "enum" in part:
        yield path, "enum", sorted(part["enum"], key=str)
    if "default" in part and kind != "object":
        default = part["default"]
        ordered = kind != "array" or any(isinstance(item, dict) for item in default)
        yield path, "default", default if ordered else sorted(default, key=str)
    for facet in ("minimum", "maximum", "x-encrypted", "x-referenceable"):
        if facet in part:
            yield path, facet, part[facet]
    shortest = part.get("minItems", part.get("minLength", 0))
    if shortest > (1 if kind == "string" else 0):  # no text may be empty unless it says so
        yield path, "shortest", shortest
    if "items" in part:
        yield from facts_of_value(part["items"], f"{path}[]")
    yield from facts(part, f"{path}.")


def differences(name: str) -> dict[tuple[str, str], tuple[Any, Any]]:
    published = json.loads((PUBLISHED / INDEX[name]["schema_file"]).read_text())["properties"]["config"]
    ours = {(field, what): value for field, what, value in facts(record_document(registry().plugins[name]))}
    theirs = {(field, what): value for field, what, value in facts(published)}
    return {
        key: (ours.get(key), theirs.get(key)) for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)
    }


def test_every_open_source_plugin_is_declared() -> None:
    wanted = {name for name, row in INDEX.items() if row["tier"] == "oss" and not name.startswith("ai-")}
    assert wanted <= set(registry().plugins)


@pytest.mark.parametrize("name", sorted(registry().plugins))
def test_fields_are_as_published(name: str) -> None:
    listed = {(field, entry["what"]) for entry in DEVIATIONS if name in entry["plugins"] for field in entry["fields"]}
    found = differences(name)
    assert {key: value for key, value in found.items() if key not in listed} == {}
    assert listed - found.keys() == set(), "listed as different, but the same"


def test_every_deviation_has_a_reason_and_a_plugin() -> None:
    assert all(entry["reason"] for entry in DEVIATIONS)
    assert {name for entry in DEVIATIONS for name in entry["plugins"]} <= set(registry().plugins)


@pytest.mark.parametrize("name", sorted(registry().plugins))
def test_places_and_order_are_as_published(name: str) -> None:
    spec, row = registry().plugins[name].spec, INDEX[name]
    assert spec.priority == int(row["priority"])
    assert set(spec.protocols) == set(row["protocols_default"].split(","))
    assert set(spec.allowed_protocols) == set(row["protocols_allowed"].split(","))
    assert spec.scopes == {scope for scope in SCOPES if row[f"scope_{scope}"] == "y"}
    partials = ";".join(f"{kind}@{path}" for kind, path in spec.partials)
    assert partials == row["partials"].strip("-")
