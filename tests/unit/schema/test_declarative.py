"""Declarative files become flat, complete entities with stable ids."""

import pytest

from schema.declarative import load
from schema.types import is_uuid
from tests.support import pem

FILE = {
    "_format_version": "3.0",
    "services": [
        {
            "name": "a",
            "url": "http://u.test/base",
            "routes": [{"name": "r", "paths": ["/x"], "plugins": [{"name": "request-transformer"}]}, {"paths": ["/y"]}],
        }
    ],
    "routes": [{"name": "flat", "paths": ["/z"], "service": {"name": "a"}}],
    "consumers": [{"username": "bob", "plugins": [{"name": "request-transformer"}]}],
    "plugins": [{"name": "request-transformer", "service": "a", "consumer": "bob"}],
}


def test_nested_entities_become_flat_and_refer_to_their_parents():
    loaded = load(FILE)
    assert loaded.errors == ()
    (service,) = loaded.entities["services"]
    assert (service["host"], service["path"], service["port"]) == ("u.test", "/base", 80)
    assert [route["service"] for route in loaded.entities["routes"]] == [{"id": service["id"]}] * 3
    on_route, on_consumer, on_both = sorted(
        loaded.entities["plugins"], key=lambda p: (p["service"] is not None, p["consumer"] is not None)
    )
    assert on_route["route"] == {"id": next(r["id"] for r in loaded.entities["routes"] if r["name"] == "r")}
    assert on_consumer["consumer"] == on_both["consumer"] == {"id": loaded.entities["consumers"][0]["id"]}
    assert on_both["config"]["remove"]["headers"] == []


def test_ids_are_stable_and_given_ids_are_kept():
    assert load(FILE) == load(FILE)
    given = "A0000000-0000-4000-8000-000000000001"
    file = {"services": [{"id": given, "name": "s", "host": "h"}], "routes": [{"paths": ["/"], "service": given}]}
    loaded = load(file)
    assert loaded.errors == ()
    assert (
        loaded.entities["routes"][0]["service"] == {"id": given.lower()} == {"id": loaded.entities["services"][0]["id"]}
    )
    assert all(is_uuid(entity["id"]) for kind in loaded.entities.values() for entity in kind)


def test_all_errors_are_collected():
    file = {
        "_format_version": "9",
        "gadgets": [],
        "services": [{"name": "a"}, {"name": "a", "host": "h"}, 5],
        "routes": [{"paths": ["x"], "service": {"name": "missing"}}],
        "plugins": [{"name": "nope"}, {"name": "request-transformer", "config": {"add": {"headers": ["x"]}}}],
        "consumers": {},
    }
    found = {(error.entity, error.field) for error in load(file).errors}
    assert found == {
        ("", "_format_version"),
        ("", "gadgets"),
        ("", "consumers"),
        ("service", ""),
        ("service", "host"),
        ("service", "name"),
        ("route", "paths[0]"),
        ("route", "service"),
        ("plugin", "name"),
        ("plugin", "config.add.headers[0]"),
    }


def test_the_same_plugin_twice_on_one_thing_is_refused():
    file = {"plugins": [{"name": "request-transformer"}, {"name": "request-transformer", "enabled": False}]}
    (error,) = load(file).errors
    assert (error.entity, error.field, error.name) == ("plugin", "name", "request-transformer")
    assert "already declared" in error.message


def test_a_nested_entity_names_no_other_parent():
    file = {"services": [{"name": "a", "host": "h", "routes": [{"paths": ["/"], "service": {"name": "b"}}]}]}
    assert [error.field for error in load(file).errors] == ["service"]


@pytest.mark.parametrize("file", [[], None, "x", {"services": [[]]}, {"services": 1}, {"services": [{"id": 5}]}])
def test_nonsense_is_an_error_not_a_crash(file):
    assert load(file).errors


def test_an_empty_file_is_a_configuration():
    assert load({}).errors == ()


def test_names_below_a_certificate_may_be_bare():
    certificate, key = pem.pair(1)
    file = {"certificates": [{"cert": certificate, "key": key, "snis": ["a.test", {"name": "b.test"}]}]}
    loaded = load(file)
    assert loaded.errors == ()
    ((made,), snis) = (loaded.entities["certificates"], loaded.entities["snis"])
    assert "snis" not in made
    assert [(sni["name"], sni["certificate"]) for sni in snis] == [
        ("a.test", {"id": made["id"]}),
        ("b.test", {"id": made["id"]}),
    ]


def test_groups_are_listed_with_their_members():
    file = {
        "consumer_groups": [{"name": "gold"}, {"name": "silver"}],
        "consumers": [{"username": "bob", "groups": [{"name": "gold"}, "silver"]}, {"username": "eve"}],
    }
    loaded = load(file)
    assert loaded.errors == ()
    groups = {group["name"]: group["id"] for group in loaded.entities["consumer_groups"]}
    members = loaded.entities["consumer_group_members"]
    assert [member["consumer_group"]["id"] for member in members] == [groups["gold"], groups["silver"]]
    assert {member["consumer"]["id"] for member in members} == {loaded.entities["consumers"][0]["id"]}
    assert load(file) == loaded


@pytest.mark.parametrize("groups", [{}, [7], [{}], ["nobody"], ["gold", "gold"]])
def test_groups_that_are_none(groups):
    file = {"consumer_groups": [{"name": "gold"}], "consumers": [{"username": "bob", "groups": groups}]}
    assert load(file).errors


def test_plugins_take_parts_from_partials():
    file = {
        "services": [
            {
                "name": "s",
                "host": "h",
                "plugins": [{"name": "rate-limiting", "config": {"minute": 5}, "partials": [{"name": "shared"}]}],
            }
        ],
        "partials": [{"name": "shared", "type": "redis-ce", "config": {"host": "redis.test"}}],
    }
    loaded = load(file)
    assert loaded.errors == ()
    (plugin,) = loaded.entities["plugins"]
    (partial,) = loaded.entities["partials"]
    assert plugin["partials"] == [{"id": partial["id"], "name": None, "path": "config.redis"}]
    assert "redis" not in plugin["config"]
    (sent,) = loaded.for_gateways(bytes(32))["plugins"]
    assert sent["config"]["redis"] == partial["config"]
    assert "partials" not in loaded.for_gateways(bytes(32))


@pytest.mark.parametrize("link", [{"name": "nobody"}, {"name": "shared", "path": "config.second"}, {}])
def test_links_that_lead_nowhere(link):
    file = {
        "plugins": [{"name": "rate-limiting", "config": {"minute": 5}, "partials": [link]}],
        "partials": [{"name": "shared", "type": "redis-ce"}],
    }
    assert [error.entity for error in load(file).errors] == ["plugin"]
