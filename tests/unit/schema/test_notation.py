"""Served defaults are applied defaults, whichever way a client leaves them to the control plane."""

from hypothesis import given
from hypothesis import strategies as st

from schema.base import Document
from schema.json_documents import record_document
from schema.notation import config_notation, entity_notation
from schema.registry import registry
from schema.types import ReferenceRecord
from schema.walk import records_within
from tests.support.plugins import LEAST, config_of, fields_of, filled

PLUGIN = registry().entities["plugins"]


def complete(name: str, config: Document) -> Document:
    document = registry().parse(PLUGIN, {"name": name, "config": config})["config"]
    made_up = {field for field, part in fields_of(notation(name)) if part.get("auto")}
    return {field: value for field, value in document.items() if field not in made_up}


def notation(name: str) -> Document:
    return config_of(config_notation(registry().plugins[name]))


def left_to_the_server(record: Document, config: Document, draw: st.DataObject) -> Document:
    """`config` with some of the other fields null, some at their defaults, some records partly filled."""
    result = dict(config)
    for name, field in fields_of(record):
        if name in config:
            continue
        way = draw.draw(st.sampled_from(["absent", "null", "default"]), label=name)
        if way == "null":
            result[name] = None
        elif way == "default" and field["type"] == "record" and field.get("required"):
            result[name] = left_to_the_server(field, {}, draw)
        elif way == "default" and "default" in field:
            result[name] = field["default"]
    return result


@given(name=st.sampled_from(sorted(LEAST)), draw=st.data())
def test_absent_null_and_the_default_are_the_same(name: str, draw: st.DataObject) -> None:
    config = left_to_the_server(notation(name), LEAST[name], draw)
    expected = filled(notation(name), LEAST[name])
    completed = complete(name, config)
    assert completed == {field: value for field, value in expected.items() if field in completed}
    assert expected.keys() - completed.keys() <= {"provision_key"}


def test_every_field_is_described_and_both_notations_tell_of_the_same_fields() -> None:
    for config in registry().plugins.values():
        told = dict(fields_of(config_of(config_notation(config))))
        assert told.keys() == record_document(config)["properties"].keys()
        records = [config, *(record for _, record in records_within(config))]
        assert [
            f"{record.__name__}.{name}"
            for record in records
            for name, info in record.model_fields.items()
            if not info.description and not issubclass(record, ReferenceRecord)
        ] == []


def test_reserved_and_written_fields_are_apart() -> None:
    schema = entity_notation(registry().entities["services"])
    assert "url" not in dict(fields_of(schema))
