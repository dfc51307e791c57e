"""What is refused at write and what gateways refuse is the same: the corpora are also run by the engine's own tests.

`stricter` marks what is refused here although a gateway would take it.
"""

import json
from pathlib import Path

import pytest

from schema.base import gateway_faults
from schema.errors import SchemaViolation
from schema.registry import registry
from schema.templates import template_fault

CORPUS = Path(__file__).parents[2] / "corpus"


def corpus(name):
    return json.loads((CORPUS / f"{name}.json").read_text(encoding="utf-8"))


def violations(plural, document):
    declarations = registry()
    try:
        declarations.parse(declarations.entities[plural], document)
    except SchemaViolation as refusal:
        return [(violation.field, violation.message) for violation in refusal.violations]
    return []


def judge(entries, faults):
    """Every entry on which the verdict, or the message, is not what the corpus says."""
    wrong = []
    for entry in entries:
        found = faults(entry)
        expected = entry.get("message_contains", "")
        if bool(found) == entry["valid"] or any(expected not in message for message in found):
            wrong.append((str(entry)[:200], found))
    assert wrong == []


def test_templates():
    entries = corpus("template_expressions")
    assert len(entries) >= 150
    judge(entries, lambda entry: [fault] if (fault := template_fault(entry["template"])) is not None else [])


def route_faults(entry):
    matcher = {"paths": [entry["path"]]} if "path" in entry else {"headers": {"x-a": [entry["header"]]}}
    field = "paths[0]" if "path" in entry else "headers.x-a[0]"
    found = violations("routes", matcher)
    assert all(name == field for name, _ in found)
    return [message for _, message in found]


def test_route_regexes():
    entries = corpus("route_regexes")
    assert len(entries) >= 80
    judge(entries, route_faults)


def test_route_expressions():
    def faults(entry):
        document = {"expression": entry["expression"], "protocols": entry.get("protocols", ["http", "https"])}
        if set(document["protocols"]) & {"grpc", "grpcs"}:
            document["strip_path"] = False
        found = violations("routes", document)
        assert all(name == "expression" for name, _ in found)
        assert all(message.startswith("Router Expression failed validation: ") for _, message in found)
        return [message for _, message in found]

    entries = corpus("route_expressions")
    assert len(entries) >= 150
    judge(entries, faults)


def test_service_hosts():
    def faults(entry):
        document = {"host": entry["host"], "protocol": entry["protocol"]}
        return [message for field, message in violations("services", document) if field == "host"]

    judge(corpus("service_hosts"), faults)


def test_called_urls():
    declared = registry().plugins["http-log"]

    def faults(entry):
        document = {"http_endpoint": entry["url"]}
        found = [message for _, message in violations("plugins", {"name": "http-log", "config": document})]
        return found or [fault.message for fault in gateway_faults(declared, document)]

    judge(corpus("called_urls"), faults)


def test_log_paths():
    declared = registry().plugins["file-log"]

    def faults(entry):
        document = {"path": entry["path"]}
        assert violations("plugins", {"name": "file-log", "config": document}) == []
        return [fault.message for fault in gateway_faults(declared, document)]

    judge(corpus("log_paths"), faults)


class TestRequestTransformer:
    """Which of the plugin's values have to compile."""

    @staticmethod
    def faults(config):
        return violations("plugins", {"name": "request-transformer", "config": config})

    @pytest.mark.parametrize("operation", ["rename", "replace", "add", "append"])
    @pytest.mark.parametrize("target", ["body", "querystring"])
    def test_bodies_and_queries(self, operation, target):
        message = "value '$(a b)' is not in supported format, error:unexpected symbol near 'b'"
        faults = self.faults({operation: {target: ["fine:$(headers.x)", "name:$(a b)"]}})
        assert faults == [(f"config.{operation}.{target}[1]", message)]

    def test_headers_and_the_path_may_be_broken(self):
        broken = {"headers": ["x:$(a b)"]}
        config = {"replace": {**broken, "uri": "/$(1 +)"}, "add": broken, "append": broken}
        assert self.faults(config) == []
        assert self.faults({"remove": {"body": ["$(a b)"], "querystring": ["$()"]}}) == []

    def test_names_are_needed(self):
        assert self.faults({"add": {"body": [":v"], "querystring": [":"]}}) == [
            ("config.add.body[0]", "key '' is empty"),
            ("config.add.querystring[0]", "key '' has no value"),
        ]


@pytest.mark.parametrize(
    "address", ["10.0.0.0/255.0.0.0", "fe80::1%1", "fe80::%1/64", "10.0.0.0/08", "10.0.0.0/", "1.2.3"]
)
def test_networks_that_gateways_cannot_read(address):
    route = {"protocols": ["tcp"], "sources": [{"ip": address}]}
    assert violations("routes", route) == [("sources[0].ip", f"invalid ip or cidr range: '{address}'")]


@pytest.mark.parametrize("address", ["10.0.0.0/8", "10.1.2.3/8", "0.0.0.0/0", "::/0", "::1", "1.2.3.4/32"])
def test_networks(address):
    assert violations("routes", {"protocols": ["tcp"], "sources": [{"ip": address}]}) == []


def test_half_of_a_surrogate_pair_is_no_text():
    assert violations("services", {"host": "a", "tags": ["\ud800"]}) == [("tags[0]", "expected valid UTF-8")]
    assert violations("services", {"host": "\udfff"}) == [("host", "expected valid UTF-8")]
