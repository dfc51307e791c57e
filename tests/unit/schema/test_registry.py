"""Discovery, order, duplicates, and the guards over all declarations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.declarative import load
from schema.entities.service import Service
from schema.errors import SchemaViolation
from schema.export import entity_components, plugin_components
from schema.plugins.request_transformer import RequestTransformer
from schema.registry import DuplicateDeclaration, Registry, registry
from schema.types import Secret

REQUIRED = {
    "host", "name", "target", "cert", "key", "username", "password", "group", "consumer", "consumer_group", "kid", "prefix",
    "type", "subject_name", "schema", "handler", "lua_schema", "uri", "query", "service", "type_path",
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def test_both_folders_are_found_parents_first():
    assert set(registry().entities) == {
        "services", "routes", "consumers", "plugins", "upstreams", "targets", "certificates", "snis", "ca_certificates",
        "consumer_groups", "consumer_group_members", "keyauth_credentials", "basicauth_credentials", "acls",
        "hmacauth_credentials", "jwt_secrets", "mtls_auth_credentials", "keys", "key_sets", "vaults", "partials",
        "custom_plugins", "plugin_schemas", "degraphql_routes", "graphql_costs",
    }  # fmt: skip
    order = list(registry().entities)
    assert order.index("services") < order.index("routes") < order.index("plugins")
    assert "request-transformer" in registry().plugins


def test_duplicates_are_refused():
    with pytest.raises(DuplicateDeclaration):
        Registry([Service, Service], [])
    with pytest.raises(DuplicateDeclaration):
        Registry([], [RequestTransformer, RequestTransformer])


def test_nested_paths():
    mounted = {(parent.spec.plural, child.spec.plural) for parent, child, _ in registry().nested()}
    assert mounted == {
        ("services", "routes"),
        ("services", "plugins"),
        ("routes", "plugins"),
        ("consumers", "plugins"),
        ("upstreams", "targets"),
        ("certificates", "snis"),
        ("consumer_groups", "plugins"),
        ("consumers", "keyauth_credentials"),
        ("consumers", "basicauth_credentials"),
        ("consumers", "acls"),
        ("consumers", "hmacauth_credentials"),
        ("consumers", "jwt_secrets"),
        ("consumers", "mtls_auth_credentials"),
        ("key_sets", "keys"),
        ("services", "degraphql_routes"),
        ("services", "graphql_costs"),
    }


@pytest.mark.parametrize("plural", list(registry().entities))
def test_every_field_is_described_and_unset_collections_are_null(plural):
    entity = registry().entities[plural]
    assert entity.__doc__
    assert [name for name, info in entity.model_fields.items() if not info.description] == []


@pytest.mark.parametrize("plural", list(registry().entities))
def test_components_for_reading_and_writing(plural):
    entity = registry().entities[plural]
    title = entity.spec.title
    components = entity_components(entity)
    read, written = components[title], components[f"{title}Input"]
    shown = {"id", "created_at", "updated_at", "tags"} - entity.spec.hidden
    assert shown - {"tags"} <= set(read["required"])
    assert shown == {"id", "created_at", "updated_at", "tags"} & set(read["properties"])
    assert "url" not in read["properties"]
    assert read["additionalProperties"] is False
    assert set(written.get("required", [])) <= REQUIRED
    for name, part in written["properties"].items():
        nullable = part.get("type") == "null" or {"type": "null"} in part.get("anyOf", [])
        assert nullable or name in written["required"]


def test_plugin_components_mark_secrets():
    components = plugin_components("request-transformer", RequestTransformer)
    assert components["RequestTransformerValues"]["properties"]["headers"]["items"]["x-encrypted"] is True
    assert "x-encrypted" not in components["RequestTransformerRemovals"]["properties"]["headers"]["items"]
    add = components["RequestTransformerConfig"]["properties"]["add"]
    assert "RequestTransformerValues" in str(add)


@pytest.mark.parametrize("plural", list(registry().entities))
@given(
    document=JSON
    | st.dictionaries(st.sampled_from(sorted({n for e in registry().entities.values() for n in e.model_fields})), JSON)
)
def test_no_document_crashes_the_validator(plural, document):
    declarations = registry()
    entity = declarations.entities[plural]
    try:
        parsed = declarations.parse(entity, document)
    except SchemaViolation:
        return
    assert declarations.parse(entity, parsed) == parsed


@given(JSON)
def test_no_file_crashes_the_loader(document):
    loaded = load({"services": document, "plugins": [document], "routes": [{"service": document, "hosts": document}]})
    assert loaded.errors


def test_a_secret_does_not_show():
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r}"
    assert secret.reveal() == "hunter2"
